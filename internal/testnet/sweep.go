package testnet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Sweep kills the programs that Host.Command started for a process that is gone, as after SIGKILL or a test's panic, and
// gives their number. Their namespaces go with them.
func Sweep() (int, error) {
	swept := 0
	var errs []error
	for _, pid := range processes() {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			continue // gone meanwhile, or not ours
		}
		_, value, found := bytes.Cut(append([]byte{0}, environ...), []byte("\x00"+marker+"="))
		value, _, _ = bytes.Cut(value, []byte{0})
		if !found || ownerLives(string(value)) {
			continue
		}
		swept++
		errs = append(errs, kill(pid))
	}
	return swept, errors.Join(errs...)
}

// owner is this process: its id and, as ids are used again, its start time.
func owner() string { return fmt.Sprintf("%d-%s", os.Getpid(), startTime(os.Getpid())) }

func ownerLives(text string) bool {
	pid, start, _ := strings.Cut(text, "-")
	number, err := strconv.Atoi(pid)
	return err == nil && start != "" && startTime(number) == start
}

// startTime is field 22 of /proc/pid/stat (proc_pid_stat(5)), empty when the process is gone. The name in field 2 may
// hold anything, so fields are counted from its closing bracket.
func startTime(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const afterName = 22 - 3
	if len(fields) <= afterName {
		return ""
	}
	return fields[afterName]
}

func commandName(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "gone"
	}
	return strings.TrimSpace(string(name))
}

func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func kill(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill %d: %w", pid, err)
	}
	return nil
}
