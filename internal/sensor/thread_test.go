package sensor

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/daemon"
	"flowsensor/internal/testnet"
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

// threadsNamed gives the CPUs that threads may run on, as proc_pid_status(5) shows them, by name. There may be several of a
// name: a thread keeps it after its worker has ended.
func threadsNamed(t *testing.T, prefix string) map[string][]string {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, task := range tasks {
		status, _ := os.ReadFile(filepath.Join(task, "status")) // it may have ended
		fields := map[string]string{}
		for line := range strings.Lines(string(status)) {
			key, value, _ := strings.Cut(line, ":")
			fields[key] = strings.TrimSpace(value)
		}
		if name := fields["Name"]; strings.HasPrefix(name, prefix) {
			all[name] = append(all[name], fields["Cpus_allowed_list"])
		}
	}
	return all
}

// Workers run where the configuration says, and go on where that cannot be.
func TestWorkersStayOnTheirCPUs(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{})
	allowed := affinity(t)
	cpu := 0
	for !allowed.IsSet(cpu) {
		cpu++
	}
	c := configOn(t, l)
	c.Capture.Workers, c.Capture.CPUs = 3, []int{cpu, maxCPU}
	var log bytes.Buffer
	s := NewService("", c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.NewTextHandler(&log, nil)))
	if err := l.Capture.Do(func() error { return s.Start(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	pinned := strconv.Itoa(cpu)
	stay := false
	for range 1000 { // they pin themselves
		threads := threadsNamed(t, "w")
		stay = slices.Contains(threads["w0 eth0"], pinned) && slices.Contains(threads["w2 eth0"], pinned) && len(threads["w1 eth0"]) > 0
		if stay {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if threads := threadsNamed(t, "w"); !stay || slices.Contains(threads["w0 eth0"], pinned) && allowed.Count() > 1 {
		t.Errorf("the workers do not stay on their CPU, or stay pinned at the end: %v", threads)
	}
	if n := strings.Count(log.String(), "a worker goes unpinned"); n != 1 || !strings.Contains(log.String(), "worker=eth0/1") {
		t.Errorf("%d warnings: %s", n, log.String())
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
