package testnet

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// reorderWait is how long a datagram that is to be overtaken waits for another.
const reorderWait = 100 * time.Millisecond

type datagram struct {
	data  []byte
	send  func([]byte) error // nil: there is no way to
	at    time.Time          // when it goes
	order uint64             // among those of one time
}

// lane is one direction of a Proxy. Its goroutine alone touches waiting, held and rng.
type lane struct {
	in      chan datagram
	rng     *rand.Rand
	waiting departures
	held    []datagram // to be overtaken: the datagram, twice when it is duplicated too
	order   uint64

	mu     sync.Mutex
	faults Faults
	counts Counts
}

func newLane(seed uint64, faults Faults) *lane {
	return &lane{in: make(chan datagram, 1024), rng: rand.New(rand.NewPCG(seed, 0)), faults: faults}
}

func (l *lane) set(f Faults) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = f
}

func (l *lane) snapshot() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

func (l *lane) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case d, ok := <-l.in:
			if !ok {
				return
			}
			l.take(d, time.Now())
		case <-timer.C:
		}
		timer.Reset(l.depart())
	}
}

// take draws the datagram's fate. Each datagram costs the same number of draws, so that the next one's fate does not
// hang on it.
func (l *lane) take(d datagram, now time.Time) {
	lose, repeat, overtaken, late := l.rng.Float64(), l.rng.Float64(), l.rng.Float64(), l.rng.Float64()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Received++
	if lose < l.faults.Loss {
		l.counts.Lost++
		return
	}
	d.at = now.Add(l.faults.Delay + time.Duration(late*float64(l.faults.Jitter)))
	copies := []datagram{d}
	if repeat < l.faults.Duplicate {
		l.counts.Duplicated++
		copies = append(copies, d)
	}
	if overtaken < l.faults.Reorder && l.held == nil {
		l.counts.Reordered++
		l.held = copies
		return
	}
	overtakes := l.held
	l.held = nil
	for _, c := range copies {
		l.queue(c)
	}
	for _, c := range overtakes {
		c.at = d.at
		l.queue(c)
	}
}

func (l *lane) queue(d datagram) {
	l.order++
	d.order = l.order
	heap.Push(&l.waiting, d)
}

// depart sends what is due and says how long the next one has.
func (l *lane) depart() time.Duration {
	now := time.Now()
	if len(l.held) > 0 && now.Sub(l.held[0].at) >= reorderWait {
		for _, d := range l.held {
			l.queue(d)
		}
		l.held = nil
	}
	for len(l.waiting) > 0 && !l.waiting[0].at.After(now) {
		d, _ := heap.Pop(&l.waiting).(datagram)
		sent := d.send != nil && d.send(d.data) == nil
		l.mu.Lock()
		if sent {
			l.counts.Sent++
		} else {
			l.counts.Failed++
		}
		l.mu.Unlock()
	}
	next := time.Hour
	if len(l.held) > 0 {
		next = l.held[0].at.Add(reorderWait).Sub(now)
	}
	if len(l.waiting) > 0 {
		next = min(next, l.waiting[0].at.Sub(now))
	}
	return next
}

// departures is a heap by time.
type departures []datagram

func (d departures) Len() int { return len(d) }

func (d departures) Less(i, j int) bool {
	if d[i].at.Equal(d[j].at) {
		return d[i].order < d[j].order
	}
	return d[i].at.Before(d[j].at)
}

func (d departures) Swap(i, j int) { d[i], d[j] = d[j], d[i] }

func (d *departures) Push(x any) {
	if item, ok := x.(datagram); ok {
		*d = append(*d, item)
	}
}

func (d *departures) Pop() any {
	last := len(*d) - 1
	item := (*d)[last]
	*d = (*d)[:last]
	return item
}
