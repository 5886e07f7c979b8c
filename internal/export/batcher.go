package export

import (
	"context"
	"time"

	"flowsensor/internal/flow"
)

// Batcher collects one worker's records for the sender. It is not safe for concurrent use. Its worker closes it.
type Batcher struct {
	queue *queue
	lost  *[Reasons]tally
	chunk *chunk
	iface string

	share  int64 // ns a record may wait here
	now    int64 // the newest Flush
	oldest int64 // the Flush before the oldest pending record, so its age is never underrated

	total  Amount // of all records ever added
	handed Amount // of those not in chunk any more

	waits     bool            // for a free chunk, until patience is closed
	patience  <-chan struct{} // nil: for ever
	closed    bool
	published tally
}

// Batcher makes the Batcher of one worker, whose records come from the interface of that name. Call it before
// Drain.
func (s *Sender) Batcher(iface string) *Batcher {
	b := &Batcher{
		queue: s.queue, lost: &s.counters.dropped, chunk: newChunk(), iface: iface,
		share: int64(s.cfg.FlushInterval / batcherShare),
	}
	s.queue.enroll(b)
	return b
}

// WaitForRoom makes the Batcher wait for a full queue instead of dropping, until ctx ends or the sender stops. It is
// for capture files and for the last flush of a table, when no packet waits behind the records. The sender must be
// running then.
func (b *Batcher) WaitForRoom(ctx context.Context) { b.waits, b.patience = true, ctx.Done() }

// Add copies the record. It neither blocks (but see WaitForRoom) nor allocates; a batch that is full is handed over,
// or dropped and counted where the queue is full. A record that comes after Close is handed over at once, alone.
func (b *Batcher) Add(r *flow.Record) {
	c := b.chunk
	if c.empty() {
		b.oldest = b.now
	}
	c.records = append(c.records, *r)
	b.total.Records++
	b.total.Packets += r.Packets
	b.total.Bytes += r.Bytes
	if len(c.records) == cap(c.records) || b.closed {
		b.handOver()
	}
}

// AddAnswer copies a DNS answer, under the rules of Add; what its slices hold must not change any more.
func (b *Batcher) AddAnswer(a *flow.DNSAnswer) {
	c := b.chunk
	if c.empty() {
		b.oldest = b.now
	}
	c.answers = append(c.answers, *a)
	b.total.Answers++
	if len(c.answers) >= BatchRecords || b.closed {
		b.handOver()
	}
}

// Flush hands over the records when the oldest may have waited its share of the flush interval. The worker calls it
// several times per interval, also while idle. now is the worker's monotonic time in nanoseconds, of any origin.
func (b *Batcher) Flush(now int64) {
	b.now = now
	switch {
	case b.chunk.empty():
	case now-b.oldest >= b.share:
		b.handOver()
	default:
		b.published.store(b.total)
	}
}

// Close hands over what is pending, at once. Drain waits for it.
func (b *Batcher) Close() {
	if b.closed {
		return
	}
	if !b.chunk.empty() {
		b.handOver()
	}
	b.closed = true
	b.queue.open.Add(-1)
	select {
	case b.queue.bye <- struct{}{}:
	default: // a token that says the same is already there
	}
}

// handOver exchanges the chunk for an empty one, or empties it in place.
func (b *Batcher) handOver() {
	b.published.store(b.total)
	c := b.chunk
	c.iface, c.sum = b.iface, b.total.Minus(b.handed)
	b.handed = b.total
	next, reason := b.room()
	if next == nil {
		b.lost[reason].add(c.sum)
		c.reset()
		return
	}
	b.chunk = next
	b.queue.full <- c
	if b.queue.isStopped() {
		// The sender may have swept before this push; then nobody else will.
		b.queue.sweep(&b.lost[Shutdown])
	}
}

// room takes a free chunk, or says why there is none.
func (b *Batcher) room() (*chunk, Reason) {
	if b.queue.isStopped() {
		return nil, Shutdown
	}
	select {
	case c := <-b.queue.free:
		return c, 0
	default:
	}
	if !b.waits {
		return nil, QueueFull
	}
	select {
	case c := <-b.queue.free:
		return c, 0
	case <-b.queue.stopped:
	case <-b.patience:
	}
	return nil, Shutdown
}

// What the parts of the sensor may use of the flush interval; the rest is for the worker's own pace and the queue.
const (
	batcherShare = 2 // half of it in the Batcher
	senderShare  = 4 // a quarter in the datagram that is being filled
)

// hold is how long a datagram may wait for more records.
func hold(flushInterval time.Duration) time.Duration { return flushInterval / senderShare }
