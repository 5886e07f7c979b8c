package capture

// What the tests of package capture_test look at from outside.
var (
	LinkTypeOf        = linkTypeOf
	ExcludeProgram    = excludeProgram
	BuildFilter       = buildFilter
	FullPortProgram   = fullPortProgram
	FindCompiler      = findCompiler
	CheckMemoryOf     = checkMemory
	ParseMemAvailable = parseMemAvailable
	AvailableMemoryOf = availableMemory
)

// Taken is what has been received by the counts taken so far, without taking them.
func (r *Ring) Taken() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sum.Received
}
