package capture

import "golang.org/x/net/bpf"

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
	SteerProgram      = steerProgram
	NewMultipliers    = newMultipliers
)

// Taken is what has been received by the counts taken so far, without taking them.
func (r *Ring) Taken() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sum.Received
}

// FD is the descriptor of the ring's socket.
func (r *Ring) FD() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine.fd()
}

// Multipliers are the numbers that make a steering program another one.
type Multipliers = multipliers

// SKFLLOff is where loads that count from the MAC header begin.
const SKFLLOff = skfLLOff

// SteerProgram is the fanout program that the tap's sockets share.
func (t *Tap) SteerProgram() []bpf.Instruction {
	program, _ := bpf.Disassemble(t.fanout.program)
	return program
}
