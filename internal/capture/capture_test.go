package capture_test

import (
	"bytes"
	"testing"
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
	"flowsensor/internal/testnet"
)

func TestFramesAreHandedOverAsTheyAre(t *testing.T) {
	eachEngine(t, testnet.Config{MTU: 9000}, framesAreHandedOverAsTheyAre)
}

func framesAreHandedOverAsTheyAre(t rig) {
	const snap = 300
	t.cfg.SnapLength = snap
	r := read(open(t, t.link.Capture, t.cfg))
	index, err := t.link.Capture.Index()
	if err != nil {
		t.Fatal(err)
	}
	out, start := sender(t, t.link.Generator), time.Now()
	from, to := t.link.Generator, t.link.Capture
	payload := bytes.Repeat([]byte{0xa5}, 1000)
	sent := []struct {
		bytes []byte
		vlan  int // -1: none stripped
	}{
		{ether(from, to, 0x88b5, []byte("short")), -1},
		{ether(from, to, 0x88b5, payload), -1},
		{ether(from, to, 0x88b5, bytes.Repeat(payload, 8)), -1},
		{ether(from, to, 0x88b5, payload, 0x8100e005), 5},
		{ether(from, to, 0x88b5, payload, 0x81000000), 0},
		{ether(from, to, 0x88b5, payload, 0x88a80fff, 0x81000007), 0xfff},
	}
	for _, s := range sent {
		send(t, out, s.bytes)
	}
	r.await(t, len(sent))
	for i, f := range r.stop(t) {
		want := sent[i].bytes
		if sent[i].vlan >= 0 {
			want = append(append([]byte(nil), want[:12]...), want[16:]...) // the kernel strips the outer tag
		}
		if f.Len != uint32(len(want)) || !bytes.Equal(f.Data, want[:min(snap, len(want))]) {
			t.Errorf("frame %d: %d octets, %d captured; want %d", i, f.Len, len(f.Data), len(want))
		}
		if tagOf(f.VLAN) != sent[i].vlan {
			t.Errorf("frame %d: VLAN %d, want %d", i, tagOf(f.VLAN), sent[i].vlan)
		}
		if f.IfIndex != uint32(index) || f.Link != frame.Ethernet {
			t.Errorf("frame %d: interface %d, link type %s; want %d", i, f.IfIndex, f.Link, index)
		}
		if at := time.Unix(0, f.Time); at.Before(start.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("frame %d: captured at %s", i, at)
		}
	}
}

func TestFrameLongerThanABlockIsCut(t *testing.T) {
	eachEngine(t, testnet.Config{MTU: 9000}, func(t rig) {
		l, cfg := t.link, t.cfg
		cfg.BlockSize, cfg.RingSize, cfg.SnapLength = 4096, 1<<20, 65536
		r := read(open(t, l.Capture, cfg))
		long := ether(l.Generator, l.Capture, 0x88b5, bytes.Repeat([]byte{0x5a}, 9000))
		send(t, sender(t, l.Generator), long, long)
		r.await(t, 2)
		for _, f := range r.stop(t) {
			if f.Len != 9014 || len(f.Data) >= 4096 || len(f.Data) < 3900 || !bytes.Equal(f.Data, long[:len(f.Data)]) {
				t.Errorf("%d octets captured of %d", len(f.Data), f.Len)
			}
		}
	})
}

func TestOutgoingFramesAreNotCaptured(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		cfg.Workers = 2
		r := read(open(t, l.Capture, cfg))
		own, other := sender(t, l.Capture), sender(t, l.Generator)
		for i := range uint32(100) {
			send(t, own, numbered(l.Capture, l.Generator, i))
			send(t, other, numbered(l.Generator, l.Capture, 1000+i))
		}
		r.await(t, 100)
		for _, f := range r.stop(t) {
			if n := numberOf(f.Frame); n < 1000 {
				t.Errorf("outgoing frame %d was captured", n)
			}
		}
	})
}

func TestEachFrameReachesOneRing(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		for _, mode := range []capture.FanoutMode{capture.FanoutFlow, capture.FanoutHash, capture.FanoutCPU, capture.FanoutQueue} {
			cfg.Fanout, cfg.Workers = mode, 3
			r := read(open(t, l.Capture, cfg))
			out := sender(t, l.Generator)
			const frames = 3000
			for i := range uint32(frames) {
				send(t, out, numbered(l.Generator, l.Capture, i))
			}
			r.await(t, frames)
			seen, rings := map[uint32]int{}, map[int]int{}
			for _, f := range r.stop(t) {
				seen[numberOf(f.Frame)]++
				rings[f.ring]++
			}
			if len(seen) != frames {
				t.Errorf("%s: %d frames of %d", mode, len(seen), frames)
			}
			if mode <= capture.FanoutHash && len(rings) != 3 {
				t.Errorf("%s used rings %v", mode, rings)
			}
		}
	})
}

// Two taps on one interface, as two programs would: each sees every frame, for their groups are not one.
func TestTapsDoNotShareAGroup(t *testing.T) {
	eachEngine(t, testnet.Config{}, func(t rig) {
		l, cfg := t.link, t.cfg
		cfg.Workers = 2
		a, b := read(open(t, l.Capture, cfg)), read(open(t, l.Capture, cfg))
		out := sender(t, l.Generator)
		for i := range uint32(500) {
			send(t, out, numbered(l.Generator, l.Capture, i))
		}
		a.await(t, 500)
		b.await(t, 500)
		if na, nb := len(a.stop(t)), len(b.stop(t)); na != 500 || nb != 500 {
			t.Errorf("%d and %d frames, want 500 each", na, nb)
		}
	})
}
