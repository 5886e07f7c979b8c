package flowtable_test

import (
	"math/rand/v2"
	"testing"
)

// FuzzTable plays bytes as a script of packets, clock jumps, sweeps and flushes against the reference.
func FuzzTable(f *testing.F) {
	random := rand.NewChaCha8([32]byte{2})
	for n := range 20 {
		data := make([]byte, 50+20*n)
		_, _ = random.Read(data)
		f.Add(data)
	}
	f.Fuzz(play)
}
