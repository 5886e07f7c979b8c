package sensor

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"flowsensor/internal/flow"
)

// One key in splitSample is watched. A flow on two workers is a fault of how packets are spread: of the card's or the
// kernel's, or one that the operator chose. The records still add up, but there are more of them.
const (
	splitSampleBits = 10
	splitBuckets    = 1 << 10
	splitWays       = 8 // a bucket is a line of the cache
)

// splitWatch says whether packets of one flow meet more than one worker of an interface. All workers look at the same keys,
// for one seed chooses them; these alone are written down where others see it, so that of a thousand packets all but one
// cost two multiplications. Fragments are left out: they go by their addresses, their flow's whole packets by the ports too.
type splitWatch struct {
	seed    [7]uint64 // the last one odd
	buckets [splitBuckets][splitWays]atomic.Uint64
	watched atomic.Uint64
	split   atomic.Uint64
}

// What a slot of a bucket holds of a flow; 0 is an empty one.
const (
	splitWorkerMask = 0xff // the worker that met it first; capture allows an interface no more
	splitSeen       = 1 << 8
	splitUsed       = 1 << 9
	splitKeyMask    = ^uint64(0x3ff)
)

func newSplitWatch() *splitWatch {
	w := &splitWatch{}
	var b [8 * len(w.seed)]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program where the kernel gives no random bytes
	for i := range w.seed {
		w.seed[i] = binary.NativeEndian.Uint64(b[8*i:])
	}
	w.seed[6] |= 1
	return w
}

// look takes note of a batch that a worker has met.
func (w *splitWatch) look(batch []flow.Packet, worker uint8) {
	for i := range batch {
		p := &batch[i]
		// Of IPv6 the upper halves are left out here, and looked at below.
		ports := uint64(p.SrcPort)<<16 | uint64(p.DstPort)
		h := fold(p.Src.Lo^w.seed[0]^ports<<32, p.Dst.Lo^w.seed[1]^ports) * w.seed[6]
		if h>>(64-splitSampleBits) == 0 && !p.Fragment {
			w.meet(&p.Key, worker)
		}
	}
}

// meet writes down that a flow has met a worker. It writes nothing where that is known.
func (w *splitWatch) meet(k *flow.Key, worker uint8) {
	h := w.hash(k)
	bucket := &w.buckets[h%splitBuckets]
	key := h & splitKeyMask
	for range splitWays { // once more where another worker was faster
		slot := &bucket[h>>splitSampleBits%splitWays] // gives way where all are taken
		old := slot.Load()
		for i := range bucket {
			v := bucket[i].Load()
			if v == 0 || v&splitKeyMask == key {
				slot, old = &bucket[i], v
				break
			}
		}
		switch {
		case old&splitKeyMask != key || old == 0:
			if slot.CompareAndSwap(old, key|splitUsed|uint64(worker)) {
				w.watched.Add(1)
				return
			}
		case old&splitSeen != 0 || uint8(old&splitWorkerMask) == worker:
			return
		case slot.CompareAndSwap(old, old|splitSeen):
			w.split.Add(1)
			return
		}
	}
}

// hash tells all of a key.
func (w *splitWatch) hash(k *flow.Key) uint64 {
	rest := uint64(k.VLAN)<<48 | uint64(k.VLANInner)<<32 | uint64(k.Proto)<<24 | uint64(k.ToS)<<16 | uint64(k.Version)<<8
	ports := uint64(k.IfIndex)<<32 | uint64(k.SrcPort)<<16 | uint64(k.DstPort)
	h := fold(k.Src.Hi^w.seed[0], k.Src.Lo^w.seed[1]) ^ fold(k.Dst.Hi^w.seed[2], k.Dst.Lo^w.seed[3]) ^ fold(ports^w.seed[4], rest^w.seed[5])
	return fold(h^w.seed[2], w.seed[6])
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
