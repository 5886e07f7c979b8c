package capture

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"flowsensor/internal/setting"
)

// memoryShare is the part of the available memory that rings may take: one in memoryShare.
const memoryShare = 4

// CheckMemory refuses configurations whose rings together would take more than a quarter of the memory that is available
// now. Ring memory is the kernel's: it cannot be swapped out, no MemoryMax bounds it, and asking for too much stalls the
// machine rather than failing. Call it with all interfaces before the first Open; Open looks at its own rings alone.
func CheckMemory(configs ...Config) error {
	available, err := AvailableMemory()
	if err != nil {
		return err
	}
	return checkMemory(available, configs)
}

func checkMemory(available uint64, configs []Config) error {
	var total uint64
	for _, c := range configs {
		c = c.withDefaults()
		total += uint64(c.Workers) * uint64(c.RingSize)
	}
	if limit := available / memoryShare; total > limit {
		return setting.Errorf("ring_size", "the rings of all workers (interfaces: %d) take %d MiB together, more than a quarter of the available memory (%d of %d MiB): "+
			"make ring_size or workers smaller", len(configs), total>>20, limit>>20, available>>20)
	}
	return nil
}

// AvailableMemory is the memory in octets that can be taken now without swapping.
func AvailableMemory() (uint64, error) { return availableMemory("/proc/meminfo") }

// availableMemory gives MemAvailable of proc_meminfo(5) in octets. Where a sandbox hides the file (ProcSubset=pid), it is
// what sysinfo(2) calls free, which is less: the page cache is not in it.
func availableMemory(path string) (uint64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			return 0, fmt.Errorf("available memory: sysinfo: %w", err)
		}
		return uint64(info.Freeram+info.Bufferram) * uint64(info.Unit), nil //nolint:unconvert // 32 bits on other machines
	}
	if err != nil {
		return 0, fmt.Errorf("available memory: %w", err)
	}
	defer func() { _ = f.Close() }()
	return parseMemAvailable(f)
}

func parseMemAvailable(r io.Reader) (uint64, error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		value, found := strings.CutPrefix(s.Text(), "MemAvailable:")
		if !found {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 54)
		if err != nil {
			return 0, fmt.Errorf("available memory: %w", err)
		}
		return kib << 10, nil
	}
	if err := s.Err(); err != nil {
		return 0, fmt.Errorf("available memory: %w", err)
	}
	return 0, errors.New("available memory: the kernel does not say MemAvailable")
}
