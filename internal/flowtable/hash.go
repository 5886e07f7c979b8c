package flowtable

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"

	"flowsensor/internal/flow"
)

// seeds make every table's hash another one, so that nobody outside can choose keys that meet in one bucket.
type seeds [8]uint64

func newSeeds() seeds {
	var b [64]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program where the kernel gives no random bytes
	var s seeds
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return s
}

// tail packs what a key has besides its addresses into two words. The low byte of rest is 0: there an entry marks when its
// record began.
func tail(k *flow.Key) (ports, rest uint64) {
	ports = uint64(k.IfIndex)<<32 | uint64(k.SrcPort)<<16 | uint64(k.DstPort)
	rest = uint64(k.VLAN)<<48 | uint64(k.VLANInner)<<32 | uint64(k.Proto)<<24 | uint64(k.ToS)<<16 | uint64(k.Version)<<8
	return ports, rest
}

// hash mixes the six words of a key in the manner of wyhash: pairs of words, masked with secrets, are multiplied to 128
// bits and folded to 64; a last multiplication spreads their sum over all bits.
func (s *seeds) hash(src, dst flow.Addr, ports, rest uint64) uint64 {
	h := fold(src.Hi^s[0], src.Lo^s[1]) ^ fold(dst.Hi^s[2], dst.Lo^s[3]) ^ fold(ports^s[4], rest^s[5])
	return fold(h^s[6], s[7]|1)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
