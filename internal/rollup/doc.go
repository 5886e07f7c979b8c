// Package rollup turns attributed flow records into rows that answer questions: traffic by interval, conversations by
// minute, and the per-second activities of an older system's dashboards.
//
// The rows of a window are a function of its batches and of the configuration alone. A Shard gathers the batches of one
// shard of the journal: Open begins a window, Add takes its batches, Close ends it and detaches what was gathered as an
// Increment, whose rows may be made by another goroutine while the Shard goes on. Shard and Increment are each for one
// goroutine at a time; Stats is safe for any.
//
// # Rows are increments
//
// An interval gets rows from every window that brought records of its time, so readers add rows up with sum(). A row's
// time is the start of its interval, plus a slot that stands for how much later the window was, plus the row's number in
// ascending order of the keys. So no two windows make the same point, a window that is gathered again after a crash makes
// the same points again, and a late record adds a row.
//
// # Sums
//
// Bytes and packets of a record are spread over the time it was active by cumulative integer rounding: up to an instant
// t they are floor(count x (t - first) / (last - first)). Every measurement adds up to exactly what went in, also where
// its bound was reached: what finds no room, or is not among the largest, goes to the key "other" of its sensor and
// protocol. A record counts as one flow in the interval of its last packet. Sampling scales nothing.
//
// # Time
//
// Records late by more than rows can say, from the future, or active for longer than MaxSpan are moved to the nearest
// time that rows can say, and counted by reason. Nothing is lost by it.
package rollup
