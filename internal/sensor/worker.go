package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/daemon"
	"flowsensor/internal/export"
	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
	"flowsensor/internal/packet"
	"flowsensor/internal/route"
)

// retryPause is how long a worker rests after its ring failed before it tries again.
const retryPause = 100 * time.Millisecond

// worker is one ring's reader: it owns ring, decoder, table and batcher, and shares none of them.
type worker struct {
	name    string
	iface   string
	thread  string // short, for ps and top
	log     *slog.Logger
	ring    *capture.Ring
	clock   *clock
	meter   meter
	batcher *export.Batcher
	beat    daemon.Beat
	clamped atomic.Uint64
	cpu     int                  // that its thread is to stay on, or anyCPU
	asked   atomic.Pointer[look] // nil while nobody asks
	// sampling is the rate that every record carries; 0 where every packet is taken.
	sampling uint32
	// routes tells where the flows went; nil on a mirror port.
	routes *route.Table
}

func newWorker(name string, ring *capture.Ring, batcher *export.Batcher, c FlowsConfig) (*worker, error) {
	w := &worker{name: name, ring: ring, clock: newClock(), batcher: batcher, cpu: anyCPU}
	table, err := flowtable.New(c.table(), w.emit)
	if err != nil {
		return nil, err
	}
	w.meter.decoder = packet.NewDecoder(c.decoder())
	w.meter.table = table
	w.meter.time = w.clock
	return w, nil
}

// readNames has the worker read DNS answers.
func (w *worker) readNames(c DNSConfig) {
	if c.Enabled {
		w.meter.names = newNameReader(c, w.batcher.AddAnswer)
	}
}

// balance adds the worker's account to a ledger; any goroutine may call it.
func (w *worker) balance(l *Ledger) {
	w.meter.balance(l)
	l.note("clock_clamped", w.clamped.Load())
}

// emit takes a record out of the table, on the worker's goroutine.
func (w *worker) emit(r *flow.Record) {
	r.Sampling = w.sampling
	r.First, r.Last = w.clock.wall(r.First), w.clock.wall(r.Last)
	if w.routes != nil {
		w.routes.Fill(r)
	}
	w.batcher.Add(r)
}

// run reads the ring until it ends, then exports what the table holds. While ctx lives a failing ring is tried again;
// afterwards it is given up. The caller has a deadline on the sender, so the last flush may wait for room until drain ends.
func (w *worker) run(ctx, drain context.Context) error {
	runtime.LockOSThread() // the ring's memory stays in one core's caches, and a frozen thread is this worker's alone
	defer runtime.UnlockOSThread()
	nameThread(w.thread)
	release, err := pinThread(w.cpu)
	if err != nil {
		w.log.Warn("a worker goes unpinned", "worker", w.name, "err", err)
	}
	defer release()
	visit := w.meter.visit
	for {
		before := w.meter.batches
		_, err := w.ring.Walk(visit)
		w.turn()
		if w.meter.batches == before {
			w.idle()
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF) || drain.Err() != nil:
			return w.finish(drain)
		case ctx.Err() != nil:
			return errors.Join(fmt.Errorf("%s: %w", w.name, err), w.finish(drain))
		}
		w.log.Error("ring failed, trying again", "worker", w.name, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// idle moves the table's sweep on where no packet does: nothing waits for a packet. While frames wait in the ring the
// sweep goes by the packets' times instead, so that a backlog ages no flow early.
func (w *worker) idle() { w.meter.table.Expire(w.clock.mono) }

// turn is what a worker does between two walks, also on a silent link.
func (w *worker) turn() {
	w.meter.flush()
	now := w.clock.tick()
	w.batcher.Flush(now)
	w.meter.publish()
	w.clamped.Store(w.clock.clamped)
	if l := w.asked.Load(); l != nil {
		w.goOn(l)
	}
	w.beat.Tick()
}

// finish exports everything and lets the table go.
func (w *worker) finish(drain context.Context) error {
	w.turn()
	w.batcher.WaitForRoom(drain)
	w.meter.table.Flush(w.clock.mono, flow.EndShutdown)
	w.batcher.Close()
	w.beat.Tick()
	return w.meter.table.Close()
}
