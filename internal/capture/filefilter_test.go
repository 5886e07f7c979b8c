package capture_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
	"flowsensor/internal/pcapfile"
)

// What an expression accepts of a capture file is what tcpdump itself shows of it.
func TestFileFilterAgreesWithTcpdump(t *testing.T) {
	requireTcpdump(t)
	folder := filepath.Join("..", "..", "..", "shared", "pcaps")
	if _, err := os.Stat(folder); err != nil {
		t.Skip("the folder of capture files, ../shared/pcaps, is not here")
	}
	var files []string
	for _, sub := range []string{"mixed", "edge", "dns"} {
		found, err := filepath.Glob(filepath.Join(folder, sub, "*.pcap"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	compared := 0
	for _, file := range files {
		for _, expr := range []string{
			"udp port 53 or tcp port 443", "not ip and not ip6", "greater 200", "tcp[13] & 2 != 0 or ip[6:2] & 0x1fff != 0",
			"udp[8:4] > 0x10000000 and less 300", "vlan and ip",
		} {
			want, shown := shownByTcpdump(t, file, expr)
			if !shown {
				continue // it cannot read the file, or the expression makes no sense for its link type
			}
			got, read := matched(t, file, expr)
			if !read {
				continue // a link type that is refused by name
			}
			if got != want {
				t.Errorf("%s, %q: %d frames, tcpdump shows %d", filepath.Base(file), expr, got, want)
			}
			compared++
		}
	}
	if compared == 0 && len(files) > 0 {
		t.Error("nothing was compared")
	}
	t.Logf("%d comparisons", compared)
}

func shownByTcpdump(t *testing.T, file, expr string) (int, bool) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "tcpdump", "-n", "-r", file, "--count", "--", expr).Output()
	number := regexp.MustCompile(`^\d+`).Find(bytes.TrimSpace(out))
	if err != nil || number == nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(number))
	return n, err == nil
}

func matched(t *testing.T, file, expr string) (n int, read bool) {
	t.Helper()
	r, err := pcapfile.Open(file)
	if err != nil {
		return 0, false
	}
	defer func() { _ = r.Close() }()
	filter, err := capture.NewFileFilter(t.Context(), expr)
	if err != nil {
		t.Fatal(err)
	}
	err = r.Walk(func(f *frame.Frame) {
		ok, err := filter.Match(t.Context(), f)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if ok {
			n++
		}
	})
	if err != nil {
		t.Logf("%s: %v", file, err) // both read what there is of a file that is cut
	}
	return n, true
}
