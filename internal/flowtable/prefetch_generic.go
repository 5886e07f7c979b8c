//go:build !amd64 && !arm64

package flowtable

func prefetchBucket(*bucket) {}

func prefetchHot(*hot) {}

func prefetchCold(*cold) {}

func prefetchDue(*int64) {}
