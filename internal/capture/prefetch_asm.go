//go:build amd64 || arm64

package capture

import "unsafe"

// prefetchSpan asks the processor to bring the memory from p on into its first-level cache, a line of 64 octets at a time and one at
// least, and does not wait for it. It reads nothing: p may lie anywhere.
//
//go:noescape
func prefetchSpan(p unsafe.Pointer, octets uintptr)
