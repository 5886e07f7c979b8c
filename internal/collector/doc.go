// Package collector assembles flow-collector: ingest hands its batches to the store's pool, which gives each back once
// its records are durable.
//
// The pipeline stands in one function, newPipeline. The order of an end is the path of a batch: the sockets stop, what they held is
// taken, the pool drains, the writer closes.
package collector
