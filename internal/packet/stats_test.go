package packet_test

import (
	"strings"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
	"flowsensor/internal/packet"
)

// TestNames holds that every reason and note has a metric label of its own.
func TestNames(t *testing.T) {
	var s packet.Stats
	seen := map[string]bool{}
	check := func(name string) {
		t.Helper()
		if name == "" || seen[name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("name %q", name)
		}
		seen[name] = true
	}
	for r := range s.Refused {
		check(packet.Reason(r).String())
	}
	for n := range s.Notes {
		check(packet.Note(n).String())
	}
	if packet.Reason(200).String() != "Reason(200)" || packet.Note(200).String() != "Note(200)" {
		t.Error("a number out of range has no name")
	}
}

// TestStatsWhileDecoding reads the counters from another goroutine, for the race detector, and holds that in the end every
// frame is either accounted or counted by its reason.
func TestStatsWhileDecoding(t *testing.T) {
	d := packet.NewDecoder(packet.Config{})
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_ = d.Stats()
			}
		}
	}()
	var p flow.Packet
	var accounted, read packet.Count
	for range 100 {
		for _, c := range benchFrames() {
			f := on(frame.Ethernet, c.data)
			read.Frames++
			read.Octets += uint64(f.Len)
			if d.Decode(&p, &f) == packet.OK {
				accounted.Frames++
				accounted.Octets += uint64(f.Len)
			}
		}
	}
	close(stop)
	<-done
	s := d.Stats()
	refused := s.RefusedTotal()
	if refused.Frames == 0 || accounted.Frames+refused.Frames != read.Frames || accounted.Octets+refused.Octets != read.Octets {
		t.Errorf("read %+v, accounted %+v, refused %+v", read, accounted, refused)
	}
}
