package sensor

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// affinity gives the CPUs that the calling thread may run on.
func affinity(t *testing.T) (set unix.CPUSet) {
	t.Helper()
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestPinnedThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := affinity(t)
	cpu := 0
	for !before.IsSet(cpu) {
		cpu++
	}
	release, err := pinThread(cpu)
	if err != nil {
		t.Fatal(err)
	}
	if now := affinity(t); now.Count() != 1 || !now.IsSet(cpu) {
		t.Errorf("pinned to CPU %d it may run on %d", cpu, now.Count())
	}
	// What may not be used is refused, as under CPUAffinity=, though the kernel would allow it.
	if _, err := pinThread(cpu + 1); err == nil || !strings.Contains(err.Error(), "CPUAffinity=") {
		t.Errorf("another CPU: %v", err)
	}
	release()
	if now := affinity(t); now != before {
		t.Error("the thread stays pinned")
	}
	if _, err := pinThread(maxCPU); err == nil {
		t.Error("a CPU that is not there")
	}
	release, err = pinThread(anyCPU)
	release()
	if now := affinity(t); now != before || err != nil {
		t.Errorf("any CPU: %v", err)
	}
}

func TestCPUsGoRound(t *testing.T) {
	c := CaptureConfig{CPUs: []int{4, 2}}
	for worker, want := range []int{4, 2, 4, 2} {
		if got := c.cpuOf(worker); got != want {
			t.Errorf("worker %d is on CPU %d, want %d", worker, got, want)
		}
	}
	if got := (&CaptureConfig{}).cpuOf(3); got != anyCPU {
		t.Errorf("without CPUs it is on %d", got)
	}
}
