// Package hugemem gives large arrays of plain values in memory of their own: outside the Go heap, zeroed, resident only
// where it was touched, and on huge pages where the kernel has them.
//
// A table of a hundred megabytes in the heap would double what the garbage collector lets the rest of the process grow to;
// on 4 KiB pages nearly every access to it would also miss the TLB. Make and Close may be called from any goroutine;
// the array is as safe as a slice is. Who calls Make closes; a block that is forgotten is unmapped once it is unreachable.
package hugemem
