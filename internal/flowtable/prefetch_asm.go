//go:build amd64 || arm64

package flowtable

// The prefetches ask the processor to bring the cache line at p into its first-level cache and do not wait for it.

//go:noescape
func prefetchBucket(p *bucket)

//go:noescape
func prefetchHot(p *hot)

//go:noescape
func prefetchCold(p *cold)

//go:noescape
func prefetchDue(p *int64)
