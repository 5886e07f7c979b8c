package export

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"
)

// jobPuts bounds one transaction: it should not take much longer than its fsync.
const jobPuts = 512

// openOutbox opens the spool and gives the outbox what is in it.
func openOutbox(cfg *Config, t *transmitter, boot uint64, log *slog.Logger) (*outbox, error) {
	o := newOutbox(cfg, t, boot, log)
	if !cfg.spools() {
		return o, nil
	}
	dir := cfg.spoolDir()
	if err := os.MkdirAll(dir, 0o700); err != nil { // flows lie there in the clear
		return nil, fmt.Errorf("spool directory: %w", err)
	}
	s, sent, err := openSpool(dir, cfg.SpoolSize, log)
	if err != nil {
		return nil, err
	}
	for _, e := range sent {
		l := o.lives[e.boot]
		if l == nil {
			l = newLife(e.boot)
			l.lowest = e.seq
			o.lives[e.boot] = l
		}
		l.lowest = min(l.lowest, e.seq)
		p := &parcel{base: e.base, sum: e.sum, index: -1, stored: true}
		l.keep(p, e.seq)
		o.early[e.base] = p
	}
	o.onDisk = s.batches
	o.counters.recovered.add(s.sum)
	o.counters.spooled(s)
	if s.batches > 0 {
		log.Info("the spool holds batches of earlier runs", "batches", s.batches, "records", s.sum.Records, "sent_before", len(sent))
	}
	o.spooler = newSpooler(s)
	return o, nil
}

func (c *counters) spooled(s *spool) {
	c.spoolBatches.Store(int64(s.batches))
	c.spoolBytes.Store(s.size)
}

// results are the spooler's, nil without one.
func (o *outbox) results() <-chan *spoolResult {
	if o.spooler == nil {
		return nil
	}
	return o.spooler.done
}

// age has batches spooled that were not acknowledged in time, and the backlog loaded.
func (o *outbox) age(now time.Time) {
	if o.spooler == nil || o.spooler.busy || now.Before(o.retryAt) {
		return
	}
	if job := o.job(now, now.Add(-o.cfg.SpoolAfter)); !job.empty() {
		o.spooler.busy = true
		o.spooler.jobs <- job
	}
}

// job is the next transaction: what is older than since, what is to be taken out, what can be sent next.
func (o *outbox) job(now, since time.Time) *spoolJob {
	job := &spoolJob{dels: o.dels}
	o.dels = nil
	for _, p := range o.resends {
		if len(job.puts) < jobPuts && !p.stored && !p.evicted && p.first.Before(since) {
			p.stored = true
			o.stored[p.base] = p
			job.puts = append(job.puts, p.entry())
		}
	}
	// Never sent: once it is handed over it may only be sent with a number that is on disk, so it comes back from there.
	for len(o.waiting) > 0 && len(job.puts) < jobPuts && (o.waiting[0].made.Before(since) || len(o.waiting) > maxWaiting/2) {
		p := o.waiting[0]
		o.waiting[0] = nil
		o.waiting = o.waiting[1:]
		o.writing = append(o.writing, p)
		job.puts = append(job.puts, p.entry())
	}
	free := maxUnacknowledged - len(o.resends) - len(o.backlog) // batches of earlier lives count too
	if n := min(o.room(), free, backlogAhead-len(o.backlog)); n > 0 && o.link.leads() && o.onDisk > 0 && len(o.backlog) < backlogAhead/2 && !o.probe.skewed && now.After(o.loadAt) {
		job.load, job.after, job.boot, job.seq = n, o.cursor, o.current.boot, o.current.next
		for range n { // their numbers may be sent soon: the floor stays below
			o.current.keep(&parcel{index: -1}, o.current.next)
		}
	}
	return job
}

// did takes what became of a job.
func (o *outbox) did(r *spoolResult, now time.Time) {
	o.spooler.busy = false
	s := o.spooler.spool
	o.counters.spooled(s)
	// What is here too or about to be taken out is not backlog.
	defer func() { o.onDisk = max(s.batches-len(o.stored)-len(o.dels), 0) }()
	for n := range r.job.load {
		delete(o.current.flight, r.job.seq+uint64(n))
	}
	writing := o.writing
	o.writing = nil
	for i := range r.evicted {
		o.evicted(&r.evicted[i], SpoolFull)
	}
	if r.err != nil {
		o.undo(r, writing, now)
		return
	}
	if o.failing {
		o.failing = false
		o.log.Info("the spool is written again", "path", s.path)
	}
	for _, p := range writing {
		o.cursor = min(o.cursor, p.base-1)
	}
	for i := range r.damaged {
		o.evicted(&r.damaged[i], SpoolDamaged)
	}
	for i := range r.loaded {
		o.loaded(&r.loaded[i], r.job, now)
	}
	if r.job.load > 0 && len(r.loaded) == 0 {
		o.cursor, o.loadAt = -1, now.Add(stateRetry) // nothing is left behind the cursor: from the beginning, in a while
	}
}

// undo takes a job back that failed: the disk is full, or worse.
func (o *outbox) undo(r *spoolResult, writing []*parcel, now time.Time) {
	o.counters.spoolFails.Add(1)
	o.counters.fail(r.err)
	if !o.failing {
		o.failing = true
		o.log.Error("the spool cannot be written: batches are kept in memory as far as that goes",
			"path", o.spooler.spool.path, "error", r.err)
	}
	o.retryAt = now.Add(stateRetry)
	o.dels = append(r.job.dels, o.dels...)
	for i := range r.job.puts {
		if p := o.stored[r.job.puts[i].base]; p != nil {
			p.stored = false
			delete(o.stored, p.base)
		}
	}
	o.waiting = append(writing, o.waiting...)
}

// evicted takes a batch that the spool gave up. One that is in memory too is not lost by that: it may have arrived
// already, and is sent until that is known. The others are dropped.
func (o *outbox) evicted(e *spoolEntry, reason Reason) {
	if p := o.stored[e.base]; p != nil {
		delete(o.stored, e.base)
		p.stored, p.evicted = false, true
		return
	}
	if p := o.early[e.base]; p != nil {
		delete(o.early, e.base)
		p.stored = false
		o.drop(p, reason)
		return
	}
	if !slices.Contains(o.dels, e.base) { // which was acknowledged meanwhile
		o.counters.dropped[reason].add(e.sum)
	}
}

// loaded takes a batch that came from the spool.
func (o *outbox) loaded(e *spoolEntry, job *spoolJob, now time.Time) {
	o.cursor = max(o.cursor, e.base)
	if p := o.stored[e.base]; p != nil {
		return // here already
	}
	l := o.lives[e.boot]
	if l == nil {
		return // acknowledged meanwhile: it is about to be taken out
	}
	p := l.flight[e.seq]
	if l == o.current {
		if e.seq < job.seq {
			return // it has been here, and is about to be taken out
		}
		p = &parcel{index: -1, base: e.base}
		l.keep(p, e.seq)
	} else if p == nil || p.base != e.base {
		return
	}
	p.kind, p.body, p.sum, p.made, p.stored = e.kind, e.body, e.sum, now, true
	o.stored[p.base] = p
	delete(o.early, p.base)
	o.backlog = append(o.backlog, p)
}

// save puts everything that is not acknowledged into the spool and ends the outbox. What cannot be saved is dropped.
func (o *outbox) save() error {
	var err error
	if o.spooler != nil {
		err = o.saveAll()
	}
	for _, p := range o.resends {
		if !p.stored && !p.gone {
			o.lose(p)
		}
	}
	for _, p := range o.waiting {
		o.lose(p)
	}
	for _, p := range o.backlog {
		if !p.stored && !p.gone {
			o.lose(p)
		}
	}
	o.resends, o.waiting, o.backlog = nil, nil, nil
	return err
}

func (o *outbox) lose(p *parcel) {
	p.gone = true
	o.counters.dropped[Shutdown].add(p.sum)
}

func (o *outbox) saveAll() error {
	now := time.Now()
	if o.spooler.busy {
		o.did(<-o.spooler.done, now)
	}
	o.spooler.stop()
	var err error
	for err == nil {
		job := o.job(now, now.Add(time.Hour))
		for n := range job.load {
			delete(o.current.flight, job.seq+uint64(n))
		}
		job.load = 0
		if job.empty() {
			break
		}
		o.spooler.busy = true
		r := o.spooler.spool.do(job)
		o.did(r, now)
		err = r.err
	}
	s := o.spooler.spool
	o.spooler = nil
	return errors.Join(err, s.close())
}
