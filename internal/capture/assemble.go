package capture

import (
	"errors"

	"golang.org/x/net/bpf"
)

// label is a place in a program that jumps lead to.
type label int

// assembler writes a program whose jumps name their target, for programs too long to count instructions by hand. The zero
// value is empty.
type assembler struct {
	ins   []bpf.Instruction
	marks []int // by label: the instruction that it stands at, -1 until it is marked
	jumps []pendingJump
}

type pendingJump struct {
	at int
	to label
}

func (a *assembler) label() label {
	a.marks = append(a.marks, -1)
	return label(len(a.marks) - 1)
}

// mark puts a label in front of what is added next.
func (a *assembler) mark(l label) { a.marks[l] = len(a.ins) }

func (a *assembler) add(ins ...bpf.Instruction) { a.ins = append(a.ins, ins...) }

func (a *assembler) jump(to label) {
	a.jumps = append(a.jumps, pendingJump{len(a.ins), to})
	a.add(bpf.Jump{})
}

// jumpIf jumps where A compares so with val. It is two instructions: a conditional jump reaches 255 instructions only.
func (a *assembler) jumpIf(cond bpf.JumpTest, val uint32, to label) {
	a.add(bpf.JumpIf{Cond: cond, Val: val, SkipFalse: 1})
	a.jump(to)
}

// finish gives the program. Classic BPF jumps forward only.
func (a *assembler) finish() ([]bpf.Instruction, error) {
	for _, j := range a.jumps {
		skip := a.marks[j.to] - j.at - 1
		if skip < 0 {
			return nil, errors.New("assemble a program: a jump that does not lead forward")
		}
		a.ins[j.at] = bpf.Jump{Skip: uint32(skip)}
	}
	return a.ins, nil
}
