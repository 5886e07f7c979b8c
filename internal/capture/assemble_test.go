package capture

import (
	"testing"

	"golang.org/x/net/bpf"
)

// Jumps reach farther than a conditional jump of BPF does, and lead forward only.
func TestAssemblerJumps(t *testing.T) {
	var a assembler
	far, never := a.label(), a.label()
	a.add(bpf.LoadAbsolute{Off: 0, Size: 1})
	a.jumpIf(bpf.JumpEqual, 7, far)
	for range 300 {
		a.add(bpf.LoadConstant{Dst: bpf.RegX, Val: 1})
	}
	a.add(bpf.RetConstant{Val: 1})
	a.mark(far)
	a.add(bpf.RetConstant{Val: 2})
	ins, err := a.finish()
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(ins)
	if err != nil {
		t.Fatal(err)
	}
	for first, want := range map[byte]int{7: 2, 8: 1} {
		if got, err := vm.Run([]byte{first}); err != nil || got != want {
			t.Errorf("%d gives %d, want %d (%v)", first, got, want, err)
		}
	}
	a.jump(far) // stands before
	if _, err := a.finish(); err == nil {
		t.Error("a jump backward")
	}
	a = assembler{marks: a.marks}
	a.jump(never)
	if _, err := a.finish(); err == nil {
		t.Error("a jump to nowhere")
	}
}
