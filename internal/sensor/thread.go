package sensor

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// nameThread names the calling thread for ps and top, which show 15 octets of it. The goroutine must be locked to it. Where /proc
// is not to be had the thread goes unnamed: nothing depends on it.
func nameThread(name string) {
	_ = os.WriteFile("/proc/thread-self/comm", []byte(name), 0)
}

// anyCPU is for a worker that the scheduler may put where it likes.
const anyCPU = -1

// maxCPU is the highest number that a CPUSet of x/sys/unix holds.
const maxCPU = 1023

// cpuOf gives the CPU of the worker with that number, counted over all interfaces.
func (c *CaptureConfig) cpuOf(worker int) int {
	if len(c.CPUs) == 0 {
		return anyCPU
	}
	return c.CPUs[worker%len(c.CPUs)]
}

// pinThread keeps the calling thread on one CPU, of those alone that it may run on already: systemd's CPUAffinity= and the
// operator's taskset hold. The goroutine must be locked to the thread; release lets it go where it could before, for the
// thread may serve others afterwards.
func pinThread(cpu int) (release func(), err error) {
	release = func() {}
	if cpu == anyCPU {
		return release, nil
	}
	var allowed, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return release, fmt.Errorf("ask for the CPUs that may be used: %w", err)
	}
	if !allowed.IsSet(cpu) {
		return release, fmt.Errorf("CPU %d is not among the %d that may be used: see CPUAffinity= of the unit, and capture.cpus", cpu, allowed.Count())
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return release, fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &allowed) }, nil
}
