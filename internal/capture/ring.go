package capture

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"flowsensor/internal/frame"
)

// Ring is one worker's share of a tap. One goroutine, always the same, calls Walk.
type Ring struct {
	// walking is held while the reader is inside Walk, so that nobody unmaps what it reads.
	walking sync.Mutex
	frame   frame.Frame
	// engineWalked is the frames walked of the engine in place. It is the reader's, and of who installs an engine while
	// there is none.
	engineWalked uint64
	emptyWalks   int // in a row, once the engine is ending

	walked atomic.Uint64
	wake   chan struct{}   // one token: something has changed for a reader that waits
	ended  chan<- struct{} // one token, to the supervisor: an engine was closed

	mu     sync.Mutex // guards all below; never held while waiting
	engine engine     // nil while the interface is gone. The reader takes it away, the supervisor sets it
	ending bool       // the engine takes nothing more: to be closed once it is read
	phase  phase
	placed uint64 // frames that the kernel put in the engine in place
	sum    RingStats
}

// phase is what a ring without an engine is without it for.
type phase uint8

const (
	phaseRunning phase = iota // the interface is gone, and will be back
	phaseStopped              // StopTraffic was called
	phaseClosed               // Close was called
)

// maxEmptyWalks is how often a ring that should still hold frames may have none, a wait each time, before it is closed
// and the difference counted as discarded. It does not happen unless the kernel miscounts.
const maxEmptyWalks = 10

func newRing(ended chan<- struct{}) *Ring {
	return &Ring{wake: make(chan struct{}, 1), ended: ended}
}

// Walk hands over the frames of one block, at most some thousands, and returns their number; it waits for them at most
// about 100 ms. It returns 0 and no error when the link is idle, down or gone: call it again. A frame is valid during
// visit only, which must not call Close. The error is io.EOF after StopTraffic, once every frame was handed over;
// os.ErrClosed after Close; any other means that the ring cannot be read.
func (r *Ring) Walk(visit func(*frame.Frame)) (int, error) {
	r.walking.Lock()
	defer r.walking.Unlock()
	e, ending, err := r.current()
	if err != nil {
		return 0, err
	}
	if e == nil {
		r.pause()
		return 0, nil
	}
	if ending && r.finish() {
		return 0, nil
	}
	n, err := e.walk(&r.frame, visit)
	r.walked.Add(uint64(n))
	r.engineWalked += uint64(n)
	r.emptyWalks++
	if n > 0 {
		r.emptyWalks = 0
	}
	if errors.Is(err, errLink) {
		// Until it is read the error makes every poll return at once, over a million times a second, even after the link
		// has come back. Should it stay for whatever reason, the pause keeps it from being a busy loop.
		_ = takeError(e.fd())
		r.pause()
		err = nil
	}
	return n, err
}

// current gives the engine, nil while there is none.
func (r *Ring) current() (e engine, ending bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.engine != nil:
		return r.engine, r.ending, nil
	case r.phase == phaseClosed:
		return nil, false, os.ErrClosed
	case r.phase == phaseStopped:
		return nil, false, io.EOF
	default:
		return nil, false, nil
	}
}

// pause waits as long as a walk without frames does, or until something changes.
func (r *Ring) pause() {
	timer := time.NewTimer(pollWait)
	defer timer.Stop()
	select {
	case <-r.wake:
	case <-timer.C:
	}
}

// finish closes an ending engine once all its frames have been walked, which the kernel's own count tells.
func (r *Ring) finish() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readCountsLocked()
	if r.placed != r.engineWalked && r.emptyWalks < maxEmptyWalks {
		return false
	}
	_ = r.closeLocked() // nothing can be done about it, and what matters was read
	return true
}

// install gives the ring an engine. It is false when the ring is to have none any more.
func (r *Ring) install(e engine, link frame.LinkType) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != phaseRunning || r.engine != nil {
		return false
	}
	r.engine, r.ending = e, false
	r.placed, r.engineWalked, r.emptyWalks = 0, 0, 0
	r.frame.Link = link
	r.poke()
	return true
}

// reject lets the engine take nothing more.
func (r *Ring) reject() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.engine == nil {
		return nil
	}
	return setFilter(r.engine.fd(), rejectAll())
}

// end makes the reader close the engine once it is read, and says what the ring is then. It follows reject and quiesce.
func (r *Ring) end(then phase) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending = r.engine != nil
	r.phase = max(r.phase, then)
	r.poke()
}

// close closes what the reader has not, once the reader is out of Walk.
func (r *Ring) close() error {
	r.end(phaseClosed)
	r.walking.Lock()
	defer r.walking.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closeLocked()
}

// closeLocked takes the last counts and closes the engine. The caller holds walking too.
func (r *Ring) closeLocked() error {
	if r.engine == nil {
		return nil
	}
	r.readCountsLocked()
	r.sum.Discarded += r.placed - r.engineWalked
	r.sum.Losing += r.engine.losing()
	err := r.engine.close()
	r.engine, r.ending = nil, false
	select {
	case r.ended <- struct{}{}:
	default:
	}
	return err
}

// poke wakes a reader that waits for a change.
func (r *Ring) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// readCountsLocked adds up what the kernel counted. It is the one reader of the statistics, which reset when read; the
// supervisor calls it each second, so that 32 bits do not wrap, and every close does.
func (r *Ring) readCountsLocked() {
	if r.engine == nil {
		return
	}
	c, err := takeCounts(r.engine.fd())
	if err != nil {
		r.sum.CountErrors++
		return
	}
	r.placed += uint64(c.placed)
	r.sum.Received += uint64(c.placed) + uint64(c.dropped)
	r.sum.Dropped += uint64(c.dropped)
	r.sum.Freezes += uint64(c.freezes)
}

// stats gives the ring's counts as of now.
func (r *Ring) stats() RingStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	walked := r.walked.Load() // before the kernel's count, so that it is never ahead of that
	r.readCountsLocked()
	s := r.sum
	s.Walked = walked
	if r.engine != nil {
		s.Losing += r.engine.losing()
	}
	return s
}

// boundTo gives the index of the interface that the engine in place is bound to, 0 when there is none.
func (r *Ring) boundTo() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.engine == nil {
		return 0, nil
	}
	return boundTo(r.engine.fd())
}

// idle reports whether there is no engine.
func (r *Ring) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine == nil
}
