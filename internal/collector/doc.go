// Package collector assembles flow-collector: ingest hands its batches to the journal, and the journal's reader hands them
// to the store's pool, which says when their records are durable. A process has one of these roles or both.
//
// The pipeline stands in one function, newPipeline. The order of an end is the path of a batch: the sockets stop, what they held
// goes into the journal, the reader empties the journal or leaves the rest to the next start, the pool ends, the writer closes.
package collector
