package capture

// What the tests of package capture_test look at from outside.
var (
	LinkTypeOf        = linkTypeOf
	ExcludeProgram    = excludeProgram
	BuildFilter       = buildFilter
	FindCompiler      = findCompiler
	CheckMemoryOf     = checkMemory
	ParseMemAvailable = parseMemAvailable
	AvailableMemory   = availableMemory
)
