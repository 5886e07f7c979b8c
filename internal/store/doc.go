// Package store makes flow batches durable: it encodes them as line protocol and hands the lines to a Writer, which is
// InfluxDB (store/influx) or a directory of files (store/files).
//
// The journal's reader calls Pool.Submit, from one goroutine for each shard; it never blocks. Pool.Run owns the writer
// goroutines, Pool.Drain ends them. Every record that was submitted is accounted for exactly once, in records, packets
// and bytes: written, withheld, dead-lettered under a reason, dropped under a reason, or pending; Pool.Stats shows a state
// in which these add up. Writing is retried for ever and repeated lines are harmless, because the point identity of a line
// (measurement, tags, time) belongs to its record and a repeated line overwrites itself.
//
// Rows of other measurements are written by Pool.WriteRows in the goroutine of whoever made them, which knows then that
// they are durable.
//
// The caller opens the Writer and the DeadLetters and closes both after Pool.Run returned. A batch belongs to the pool
// from a successful Submit until Release is called with it, which happens after its records are durable: that is where
// an acknowledgement belongs.
package store
