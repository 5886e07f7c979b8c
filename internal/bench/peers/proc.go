package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// family gives a process and its descendants. One that is gone has none.
func family(pid int) []int {
	all := []int{pid}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // only a bad pattern is an error
	for _, path := range lists {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread is gone meanwhile
		}
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(all, family(child)...)
			}
		}
	}
	return all
}

// cpuTime is what the living threads of a process and its descendants have run, to the nanosecond: user and system time,
// which the kernel scales to this sum (cputime_adjust in kernel/sched/cputime.c).
func cpuTime(pid int) time.Duration {
	var sum time.Duration
	for _, member := range family(pid) {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", member)) // only a bad pattern is an error
		for _, path := range threads {
			text, err := os.ReadFile(path)
			if err != nil {
				continue // the thread is gone meanwhile
			}
			ran, _, _ := bytes.Cut(text, []byte(" "))
			if n, err := strconv.ParseInt(string(ran), 10, 64); err == nil {
				sum += time.Duration(n)
			}
		}
	}
	return sum
}

// offset is how far a process has read a file that it has open.
func offset(pid int, file string) (at int64, found bool) {
	if file == "" {
		return 0, false
	}
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // only a bad pattern is an error
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != file {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, filepath.Base(link)))
		if err != nil {
			return 0, false // closed meanwhile
		}
		value, _, _ := strings.Cut(strings.TrimPrefix(string(text), "pos:"), "\n")
		at, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		return at, err == nil
	}
	return 0, false
}

// memory is what processes have in RAM, in octets.
type memory struct {
	peak uint64 // resident at its highest, rings that are mapped and the program's text with it
	anon uint64 // of it heap, tables and stacks alone, now
}

// memoryOf adds up a process and its descendants; pages that they share count twice.
func memoryOf(pid int) memory {
	var m memory
	for _, member := range family(pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", member))
		if err != nil {
			continue // gone meanwhile
		}
		m.peak += statusField(text, "VmHWM:")
		m.anon += statusField(text, "RssAnon:")
	}
	return m
}

// statusField reads a size of proc_pid_status(5), in octets.
func statusField(text []byte, name string) uint64 {
	for line := range bytes.Lines(text) {
		value, found := bytes.CutPrefix(line, []byte(name))
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(value)), "kB")), 10, 54)
		if err == nil {
			return n << 10
		}
	}
	return 0
}

// most is the greater of each.
func (m memory) most(o memory) memory {
	return memory{peak: max(m.peak, o.peak), anon: max(m.anon, o.anon)}
}
