package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine says what the races are run on.
func machine() string {
	return fmt.Sprintf("Linux %s, %d cores of %s, %d GiB", kernel(), runtime.NumCPU(), processor(), statusOf("/proc/meminfo", "MemTotal:")>>30)
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "of unknown version"
	}
	return strings.TrimSpace(string(text))
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		name, value, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(name) == "model name" {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return runtime.GOARCH
}

func statusOf(path, field string) uint64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	return statusField(text, field)
}

// allowedCores is the list of cores that this process may use.
func allowedCores() string {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if list, found := strings.CutPrefix(line, "Cpus_allowed_list:"); found {
			return strings.TrimSpace(list)
		}
	}
	return ""
}
