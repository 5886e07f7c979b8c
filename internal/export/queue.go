package export

import (
	"reflect"
	"sync"
	"sync/atomic"

	"flowsensor/internal/flow"
)

// BatchRecords is how many records a Batcher hands over at once.
const BatchRecords = 256

// chunk is what a worker hands over: up to BatchRecords records of one interface, and as many DNS answers. It belongs to whoever took it out of
// a channel; its memory goes round between the Batchers, the queue and the sender and is never given up.
type chunk struct {
	records []flow.Record
	answers []flow.DNSAnswer // room for them is made when the first one comes
	iface   string
	sum     Amount
}

// QueueOctets is the memory that a queue of so many batches takes, all of it at the start, and the most that comes to it
// where DNS is read, without the names.
func QueueOctets(batches int) uint64 {
	each := reflect.TypeFor[flow.Record]().Size() + reflect.TypeFor[flow.DNSAnswer]().Size()
	return uint64(batches) * BatchRecords * uint64(each)
}

// queue is the bounded hand-over from the workers to the sender. As many chunks circulate as it has places, and each
// Batcher owns one more; a Batcher that finds no free chunk has met a full queue, and one that found one can push its
// own without waiting: before the push at most capacity-1 chunks are in full or with the sender.
type queue struct {
	full    chan *chunk
	free    chan *chunk
	stopped chan struct{} // closed when nobody will take from full any more
	bye     chan struct{} // holds a token when a Batcher was closed
	open    atomic.Int64  // Batchers not closed yet
	stop    sync.Once

	mu       sync.Mutex
	batchers []*Batcher // protected by mu; all that ever were, for their counters
}

func newQueue(capacity int) *queue {
	q := &queue{
		full: make(chan *chunk, capacity), free: make(chan *chunk, capacity),
		stopped: make(chan struct{}), bye: make(chan struct{}, 1),
	}
	for range capacity {
		q.free <- newChunk()
	}
	return q
}

func (c *chunk) empty() bool { return len(c.records)+len(c.answers) == 0 }

func (c *chunk) reset() {
	clear(c.answers) // of the names they hold
	c.records, c.answers, c.sum = c.records[:0], c.answers[:0], Amount{}
}

func newChunk() *chunk {
	return &chunk{records: make([]flow.Record, 0, BatchRecords)}
}

// recycle gives a chunk back; there is always room.
func (q *queue) recycle(c *chunk) {
	c.reset()
	q.free <- c
}

// halt says that the sender is gone; more than once does no harm.
func (q *queue) halt() { q.stop.Do(func() { close(q.stopped) }) }

// isStopped reports whether the sender is gone.
func (q *queue) isStopped() bool {
	select {
	case <-q.stopped:
		return true
	default:
		return false
	}
}

// sweep counts what is in the queue of a stopped sender as lost. Drain, Close and a late Batcher may meet in here; each
// chunk comes out of the channel once.
func (q *queue) sweep(lost *tally) {
	for {
		select {
		case c := <-q.full:
			lost.add(c.sum)
			q.recycle(c)
		default:
			return
		}
	}
}

func (q *queue) enroll(b *Batcher) {
	q.open.Add(1)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batchers = append(q.batchers, b)
}

func (q *queue) added() Amount {
	q.mu.Lock()
	defer q.mu.Unlock()
	var sum Amount
	for _, b := range q.batchers {
		sum = sum.Plus(b.published.load())
	}
	return sum
}
