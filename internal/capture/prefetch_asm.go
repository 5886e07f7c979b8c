//go:build amd64 || arm64

package capture

// prefetch asks the processor to bring the cache lines from p on into its first-level cache, and does not wait for them.
// At least the first line is asked for; what lies behind the memory that p points into is never read.
//
//go:noescape
func prefetch(p *byte, octets uint64)
