// Package export takes flow records from the workers and sends them to the collector: batched, sealed, over UDP.
//
// The path of a record is Batcher.Add -> a bounded queue -> the sender's goroutine -> wire -> seal -> one connected UDP
// socket. A worker owns its Batcher, which is not safe for concurrent use; everything else of Sender is, but Run and
// Drain exclude each other, because whoever is in one of them is the one sender that numbers and stamps the batches.
// A worker never waits for the network: where the queue is full a whole batch is dropped and counted.
//
// Who creates, who closes. NewSender opens the state file and the socket, all or nothing. Every Batcher is made before
// Drain and closed by its worker after the worker's last record, which is told by a counter, not by closing a channel.
// Stop in this order: the workers (Batcher.WaitForRoom, flush the table, Batcher.Close), then cancel Run's context, then
// Drain with a deadline, then Close. Drain returns when every Batcher is closed and the queue is empty, or at its deadline; what is left then,
// and whatever a late worker still adds, is counted under the reason shutdown. The channels: full and free of the queue
// are never closed; stopped is closed once, by Drain or Close; the resolver's goroutine lives inside Run and is joined
// before Run returns.
//
// The ledger: added = sent + dropped by reason + pending, in records, packets and bytes, exact once Drain has returned
// and the Batchers are closed. Sent means that the kernel took the datagram.
package export
