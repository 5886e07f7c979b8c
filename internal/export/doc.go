// Package export takes flow records from the workers and delivers them to the collector: batched, sealed, over UDP.
//
// The path of a record is Batcher.Add -> a bounded queue -> the sender's goroutine -> wire -> seal -> one connected UDP
// socket. A worker owns its Batcher, which is not safe for concurrent use; everything else of Sender is, but Run and
// Drain exclude each other, because whoever is in one of them is the one sender that numbers and stamps the batches.
// A worker never waits for the network: where the queue is full a whole batch is dropped and counted.
//
// # Acknowledged delivery
//
// A batch gets its stamp when it is made and its seq at its first transmission. It is kept (outbox) until the collector
// says that it is durable, and sent again until then, under a new tx each time. What is not acknowledged in SpoolAfter is
// in the spool too, with its boot and seq, so that a killed sensor's next life sends the same batch and no other. A batch
// that was never sent leaves memory for the spool; its numbers are on disk before it goes out. When the spool is full the
// oldest batch that is there alone is dropped. Live batches go first, the backlog takes the rest of the pace, and a
// quarter of it in any case. A batch that was sent is never divided: where the path has become too narrow for it, it goes
// in IP fragments.
//
// The spool is a bbolt file: transactions with fsync, any batch can be taken out, freed pages are used again (a queue of
// files such as go-diskqueue gives up batches only in their order, and knows no bound). The file never shrinks, and a read
// beyond its end is a fault, which is caught; a damaged file is set aside at the start.
//
// An answer is heeded when it is sealed with our key or the one before it, comes from the address that we send to, is to
// this life of the sensor and names nothing that was never sent. A temporary refusal must name a datagram of a batch that
// is still kept, once.
//
// # Life
//
// NewSender opens the state file, the spool and the socket, all or nothing. Every Batcher is made before
// Drain and closed by its worker after the worker's last record, which is told by a counter, not by closing a channel.
// Stop in this order: the workers (Batcher.WaitForRoom, flush the table, Batcher.Close), then cancel Run's context, then
// Drain with a deadline, then Close. Drain returns when every Batcher is closed, the queue is empty and, with
// acknowledgement, nothing waits for it any more; or at its deadline; or when a collector stays silent and there is a
// spool. What is left then goes to the spool, or is counted under the reason shutdown, as is whatever a late worker still
// adds. The channels: full and free of the queue are never closed; stopped is closed once, by Drain or Close; jobs of the
// spooler is closed by the sender. The goroutines: the resolver's lives inside Run; a link's listener ends when the link is
// closed, the spooler's when the outbox is saved.
//
// The ledger: added + recovered from the spool = settled + dropped by reason + pending, in records, packets and bytes.
// Settled means acknowledged or, with fire-and-forget, that the kernel took the datagram. After Drain pending is what lies
// in the spool. A batch counts as dropped only where nobody but an earlier life can have sent it, or the collector refused it.
package export
