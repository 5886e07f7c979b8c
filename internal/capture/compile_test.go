package capture_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
	"flowsensor/internal/testgate"
	"flowsensor/internal/testnet"
)

func requireTcpdump(tb testing.TB) {
	tb.Helper()
	if _, err := exec.LookPath("tcpdump"); err == nil {
		return
	}
	testgate.Skip(tb, "needs tcpdump: apt install tcpdump")
}

// tcp4 is the start of a TCP segment from port to port.
func tcp4(sport, dport uint16) []byte {
	b := udp4(packet4{src: sensor4, dst: collector4, sport: sport, dport: dport, proto: 6}, make([]byte, 12))
	b[32] = 0x50
	return b
}

func arp() []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 12), 0x0806), make([]byte, 46)...)
}

// In a file the tags are in the bytes, and a cut frame has two lengths.
func TestFileFilter(t *testing.T) {
	requireTcpdump(t)
	http, ssh := tcp4(1024, 80), tcp4(22, 1024)
	cut := frame.Frame{Data: wrap(http), Len: 1500, Link: frame.Ethernet}
	for _, c := range []struct {
		expr string
		f    frame.Frame
		want bool
	}{
		{"ip", frame.Frame{Data: wrap(http), Link: frame.Ethernet}, true},
		{"ip", frame.Frame{Data: arp(), Link: frame.Ethernet}, false},
		{"", frame.Frame{Data: arp(), Link: frame.Ethernet}, true},
		{"  ", frame.Frame{Data: arp(), Link: frame.Ethernet}, true},
		{"not port 22", frame.Frame{Data: wrap(http), Link: frame.Ethernet}, true},
		{"not port 22", frame.Frame{Data: wrap(ssh), Link: frame.Ethernet}, false},
		{"vlan 5 and port 80", frame.Frame{Data: wrap(http, 0x8100), Link: frame.Ethernet}, true},
		{"vlan 5 and port 80", frame.Frame{Data: wrap(http), Link: frame.Ethernet}, false},
		{"vlan 5 and port 80", frame.Frame{Data: wrap(ssh, 0x8100), Link: frame.Ethernet}, false},
		{"vlan 6", frame.Frame{Data: wrap(http, 0x8100), Link: frame.Ethernet}, false},
		{"vlan and vlan 5 and port 80", frame.Frame{Data: wrap(http, 0x88a8, 0x8100), Link: frame.Ethernet}, true},
		{"greater 1000", cut, true},
		{"greater 1501", cut, false},
		{"less 100", cut, false},
		{"tcp[13] & 2 != 0", frame.Frame{Data: wrap(http)[:40], Link: frame.Ethernet}, false}, // cut before the flags
		{"ip6", frame.Frame{Data: wrap(udp6(packet6{src: sensor6}, nil)), Link: frame.Ethernet}, true},
		{"port 80", frame.Frame{Data: http, Link: frame.Raw}, true},
		{"port 80", frame.Frame{Data: ssh, Link: frame.Raw}, false},
		{"port 80", frame.Frame{Data: http, Link: frame.RawOpen}, true},
		{"port 80", frame.Frame{Data: http, Link: frame.RawBSD}, true},
		{"port 80", frame.Frame{Data: http, Link: frame.IPv4}, true},
		{"ip6 and udp", frame.Frame{Data: udp6(packet6{src: sensor6}, nil), Link: frame.IPv6}, true},
		{"port 80", frame.Frame{Data: sll(http), Link: frame.SLL}, true},
		{"port 22", frame.Frame{Data: sll(http), Link: frame.SLL}, false},
		{"port 80", frame.Frame{Data: sll2(http), Link: frame.SLL2}, true},
		{"port 80", frame.Frame{Data: append([]byte{2, 0, 0, 0}, http...), Link: frame.Null}, true},
		{"port 80", frame.Frame{Data: append([]byte{0, 0, 0, 2}, http...), Link: frame.Loop}, true},
		{"port 80", frame.Frame{Data: append([]byte{0xff, 0x03, 0x00, 0x21}, http...), Link: frame.PPP}, true},
		{"port 80", frame.Frame{Data: append([]byte{0xff, 0x03, 0x00, 0x21}, http...), Link: frame.PPPHDLC}, true},
	} {
		if c.f.Len == 0 {
			c.f.Len = uint32(len(c.f.Data))
		}
		filter, err := capture.NewFileFilter(t.Context(), c.expr, c.f.Link)
		if err != nil {
			t.Errorf("%q on %s: %v", c.expr, c.f.Link, err)
			continue
		}
		if got, err := filter.Match(t.Context(), &c.f); got != c.want || err != nil {
			t.Errorf("%q on %s: %v, %v for %x", c.expr, c.f.Link, got, err, c.f.Data)
		}
	}
}

func sll(ip []byte) []byte {
	return append(append(make([]byte, 14), 0x08, 0x00), ip...)
}

func sll2(ip []byte) []byte {
	return append(append([]byte{0x08, 0x00}, make([]byte, 18)...), ip...)
}

// One filter meets frames of several link types, as a pcapng file may have.
func TestFileFilterCompilesForEachLinkType(t *testing.T) {
	requireTcpdump(t)
	filter, err := capture.NewFileFilter(t.Context(), "port 80")
	if err != nil {
		t.Fatal(err)
	}
	ethernet := frame.Frame{Data: wrap(tcp4(1, 80)), Len: 60, Link: frame.Ethernet}
	raw := frame.Frame{Data: tcp4(1, 80), Len: 60, Link: frame.Raw}
	for range 2 {
		for _, f := range []frame.Frame{ethernet, raw, ethernet} {
			if ok, err := filter.Match(t.Context(), &f); !ok || err != nil {
				t.Errorf("%s: %v, %v", f.Link, ok, err)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = filter.Match(t.Context(), &ethernet) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
	// What makes no sense for a link type is refused in tcpdump's own words.
	filter, err = capture.NewFileFilter(t.Context(), "vlan 5", frame.Ethernet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := filter.Match(t.Context(), &raw); err == nil || !strings.Contains(err.Error(), "no VLAN support") {
		t.Errorf("vlan on raw IP: %v", err)
	}
}

func TestExpressionsThatAreRefused(t *testing.T) {
	requireTcpdump(t)
	for expr, want := range map[string]string{
		"port port":                           "syntax error",
		"--version":                           "",
		"-w /tmp/flow-sensor-evil":            "",
		"ip; touch /tmp/x":                    "",
		"ip\x00":                              "not text",
		strings.Repeat("ip or ", 4000) + "ip": "longer than",
		"host no.such.name.invalid":           "",
	} {
		_, err := capture.NewFileFilter(t.Context(), expr, frame.Ethernet)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", expr, err, want)
		}
	}
}

// compiler puts a program of the name tcpdump first in the path.
func compiler(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tcpdump"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestCompilerThatHangsIsEnded(t *testing.T) {
	compiler(t, "exec sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := capture.NewFileFilter(ctx, "ip", frame.Ethernet)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

func TestCompilerThatLiesIsRefused(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":        "true",
		"endless":        "head -c 3000000 /dev/zero",
		"no number":      "echo ip",
		"too few":        "echo 2; echo 6 0 0 1",
		"too many":       "echo 1; echo 6 0 0 1; echo 6 0 0 1",
		"huge":           "echo 99999; echo 6 0 0 1",
		"negative":       "echo 1; echo 6 0 0 -1",
		"out of range":   "echo 1; echo 65536 0 0 1",
		"jumps out":      "echo 2; echo 21 5 0 1; echo 6 0 0 1",
		"does not end":   "echo 1; echo 40 0 0 12",
		"unknown":        "echo 2; echo 255 0 0 0; echo 6 0 0 1",
		"endless stderr": "head -c 3000000 /dev/zero >&2; exit 1",
	} {
		t.Run(name, func(t *testing.T) {
			compiler(t, answer)
			if _, err := capture.NewFileFilter(t.Context(), "ip", frame.Ethernet); err == nil || len(err.Error()) > 1000 {
				t.Errorf("%.100v", err)
			}
		})
	}
}

func TestMissingCompiler(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := capture.FindCompiler(filepath.Join(t.TempDir(), "tcpdump"))
	if !errors.Is(err, capture.ErrNoCompiler) || !strings.Contains(err.Error(), "apt install tcpdump") {
		t.Errorf("%v", err)
	}
	compiler(t, "true")
	if path, err := capture.FindCompiler("/nonexistent/tcpdump"); err != nil || filepath.Base(path) != "tcpdump" {
		t.Errorf("%s, %v", path, err)
	}
}

// The kernel hands over frames without their outermost tag: what the filter says of tags must still hold.
func TestLiveFilter(t *testing.T) {
	requireTcpdump(t)
	eachEngine(t, testnet.Config{}, func(t rig) {
		for expr, want := range map[string][]int{
			"vlan 5 and port 80":        {1},
			"vlan 5":                    {1, 3, 6},
			"not vlan":                  {0, 4, 5},
			"ip":                        {0, 1, 2, 3, 4},
			"not port 22":               {0, 1, 2, 5, 6},
			"port 80":                   {0, 1, 2},
			"vlan 5 and vlan 6":         {6},
			"arp":                       {5},
			"vlan 5 and not port 80":    {3, 6},
			"ether proto 0x0800 or arp": {0, 1, 2, 3, 4, 5},
		} {
			t.cfg.Filter = expr
			if got := filtered(t, len(want)); !slices.Equal(got, want) {
				t.Errorf("%q let frames %v through, want %v", expr, got, want)
			}
		}
	})
}

// filtered sends frames of seven kinds and gives, in order, the numbers of those that come through the filter.
func filtered(t rig, expected int) (numbers []int) {
	t.Helper()
	const five, six = 0x81000005, 0x81000006
	kind := func(number byte, sport, dport uint16, tags ...uint32) []byte {
		b := ether(t.link.Generator, t.link.Capture, 0x0800, tcp4(sport, dport), tags...)
		b[0], b[11] = 0x02, number // the number is in the source address
		return b
	}
	arp := ether(t.link.Generator, t.link.Capture, 0x0806, make([]byte, 46))
	arp[11] = 5
	r := read(open(t, t.link.Capture, t.cfg))
	send(t, sender(t, t.link.Generator),
		kind(0, 1000, 80), kind(1, 1000, 80, five), kind(2, 1000, 80, six), kind(3, 22, 1000, five), kind(4, 22, 1000),
		arp, kind(6, 1000, 80, 0x88a80005, six))
	r.await(t, expected)
	for _, f := range r.stop(t) {
		numbers = append(numbers, int(f.Data[11]))
	}
	return numbers
}

func TestOwnTrafficIsNotCaptured(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		cfg.Exclude = []capture.Exclusion{
			exclusion("192.0.2.1:40000", "198.51.100.9:9999"), exclusion("[::]:0", "[2001:db8:ffff:0:1:2:3:4]:9999"),
		}
		cfg.Workers = 2
		r := read(open(t, l.Capture, cfg))
		out := sender(t, l.Generator)
		own := [][]byte{
			udp4(packet4{src: sensor4, dst: collector4, sport: 40000, dport: 9999}, make([]byte, 100)),
			udp4(packet4{src: collector4, dst: sensor4, sport: 9999, dport: 40000, options: 24}, nil),
			udp6(packet6{src: sensor6, dst: collector6, sport: 40000, dport: 9999}, make([]byte, 100)),
			udp6(packet6{src: collector6, dst: sensor6, sport: 9999, dport: 40000}, nil),
		}
		for _, ip := range own {
			etherType := uint16(0x0800)
			if ip[0]>>4 == 6 {
				etherType = 0x86dd
			}
			for _, tags := range [][]uint32{nil, {0x81000005}, {0x88a80005, 0x81000006}} {
				send(t, out, ether(l.Generator, l.Capture, etherType, ip, tags...))
			}
		}
		for i := range uint32(10) { // and what is not: runts too
			send(t, out, numbered(l.Generator, l.Capture, i))
			send(t, out, wrap([]byte{0x45})[:14])
		}
		r.await(t, 20)
		if n := len(r.stop(t)); n != 20 {
			t.Errorf("%d frames, want 20", n)
		}
	})
}
