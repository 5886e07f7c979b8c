// Package sensor assembles flow-sensor: it wires capture, decoder, flow table and export into the running daemon, and
// drives the same decoder and table over capture files.
//
// The pipeline stands in one function, newPipeline. A worker owns its ring, its decoder, its table and its batcher, and shares none of
// them; what other goroutines want to know of it, it publishes in atomics once a turn.
package sensor
