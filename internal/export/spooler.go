package export

import (
	"bytes"
	"errors"
	"math"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// spoolJob is one transaction on the spool.
type spoolJob struct {
	puts []spoolEntry
	dels []int64
	// load asks for so many batches after the stamp; those that were never sent get the numbers from seq of boot on,
	// which are on disk before they can go out.
	load      int
	after     int64
	boot, seq uint64
}

func (j *spoolJob) empty() bool { return len(j.puts)+len(j.dels)+j.load == 0 }

// cost is what the job's batches take in the file.
func (j *spoolJob) cost() (sum int64) {
	for i := range j.puts {
		sum += cost(len(j.puts[i].body))
	}
	return sum
}

// spoolResult is what became of a job: all of it or, with an error, nothing but evicted.
type spoolResult struct {
	job     *spoolJob
	err     error
	evicted []spoolEntry // dropped to make room, the oldest; without bodies
	loaded  []spoolEntry
	end     bool         // no more batches after those that were loaded
	damaged []spoolEntry // could not be read, and are gone; their sums are what stood there
}

// spooler works on the spool in a goroutine of its own, one job at a time: an fsync may take seconds, and the sender does
// not wait that long.
type spooler struct {
	spool *spool
	jobs  chan *spoolJob
	done  chan *spoolResult
	busy  bool // of the sender's goroutine: a job is out
}

func newSpooler(s *spool) *spooler {
	sp := &spooler{spool: s, jobs: make(chan *spoolJob, 1), done: make(chan *spoolResult, 1)}
	go sp.run()
	return sp
}

func (s *spooler) run() {
	defer close(s.done)
	for job := range s.jobs {
		s.done <- s.spool.do(job)
	}
}

// stop ends the goroutine once it has done what it is at. A result that nobody took is lost.
func (s *spooler) stop() {
	close(s.jobs)
	for range s.done {
		continue
	}
}

func (s *spool) do(job *spoolJob) *spoolResult {
	r := &spoolResult{job: job, err: s.broken}
	if r.err != nil {
		return r
	}
	s.grow(time.Now())
	need := job.cost()
	// A job that only sends what is there must not cost what is there: it is tried with the pages that it finds.
	if len(job.puts) > 0 && errors.Is(guard(func() error { return s.prepare(need) }), syscall.ENOSPC) {
		s.shrink(need)
	}
	if s.size > s.most {
		// First, and apart: the pages that this frees are needed by what follows where the disk is full.
		r.err = s.update(func(batches, sent *bbolt.Bucket) error {
			return errors.Join(s.removeAll(batches, sent, job.dels), s.evict(batches, sent, r))
		})
		if r.err != nil {
			r.evicted = nil // they are there still
		}
	}
	if r.err == nil {
		made := len(r.evicted)
		if r.err = s.update(func(batches, sent *bbolt.Bucket) error { return s.work(batches, sent, r) }); r.err != nil {
			r.evicted, r.loaded, r.damaged = r.evicted[:made], nil, nil
		}
	}
	if errors.Is(r.err, syscall.ENOSPC) {
		s.shrink(need)
	}
	return r
}

// shrink makes the spool give up its oldest, so that the pages they had hold what comes: an eighth, or what the next jobs
// need. One that has little keeps that, and what comes stays in memory.
func (s *spool) shrink(need int64) {
	if s.size >= 2*need {
		s.most, s.crowded = s.size-min(max(s.size/8, 2*need), s.size/2), time.Now()
	}
}

// growAfter is how long a spool that found the disk full stays as small as it had to become, before it tries an eighth more.
const growAfter = time.Minute

// grow takes back, by and by, what a full disk took: others may have made room.
func (s *spool) grow(now time.Time) {
	if s.most < s.limit && now.Sub(s.crowded) >= growAfter {
		s.most, s.crowded = min(s.most+s.limit/8, s.limit), now
	}
}

// fillPercent is how full a page of the file is made. Batches come in ascending order, nearly, so that the library's half
// would stay: no later key would fill the other.
const fillPercent = 0.95

// update runs one transaction; where it fails the books are as before.
func (s *spool) update(f func(batches, sent *bbolt.Bucket) error) error {
	batches, size, sum := s.batches, s.size, s.sum
	faulted := true
	err := guard(func() error {
		err := s.db.Update(func(tx *bbolt.Tx) error {
			batches, sent := tx.Bucket(batchBucket), tx.Bucket(sentBucket)
			batches.FillPercent, sent.FillPercent = fillPercent, fillPercent
			return f(batches, sent)
		})
		faulted = false
		return err
	})
	if err != nil {
		s.batches, s.size, s.sum = batches, size, sum
		if faulted {
			s.broken = err
		}
	}
	return err
}

func (s *spool) work(batches, sent *bbolt.Bucket, r *spoolResult) error {
	job := r.job
	if err := s.removeAll(batches, sent, job.dels); err != nil {
		return err
	}
	for i := range job.puts {
		if err := s.put(batches, sent, &job.puts[i]); err != nil {
			return err
		}
	}
	if err := s.evict(batches, sent, r); err != nil {
		return err
	}
	return s.load(batches, sent, r)
}

func (s *spool) put(batches, sent *bbolt.Bucket, e *spoolEntry) error {
	key := spoolKey(e.base)
	if batches.Get(key) == nil {
		s.batches++
		s.size += cost(len(e.body))
		s.sum = s.sum.Plus(e.sum)
	}
	if err := batches.Put(key, e.encode()); err != nil {
		return err
	}
	if e.boot == 0 {
		return nil
	}
	return sent.Put(key, encodeSent(e.boot, e.seq))
}

func (s *spool) removeAll(batches, sent *bbolt.Bucket, bases []int64) error {
	for _, base := range bases {
		if _, err := s.remove(batches, sent, spoolKey(base)); err != nil {
			return err
		}
	}
	return nil
}

// remove takes a batch out, if it is there, and gives what is known of it.
func (s *spool) remove(batches, sent *bbolt.Bucket, key []byte) (e spoolEntry, err error) {
	value := batches.Get(key)
	if value == nil {
		return e, nil
	}
	if len(value) >= entryHead {
		var damaged error
		if e, damaged = decodeEntry(key, withoutSum(value), nil); damaged == nil {
			s.sum = s.sum.Minus(e.sum)
		}
	}
	s.batches--
	s.size -= cost(len(value) - entryHead)
	e.body = nil
	if err := batches.Delete(key); err != nil {
		return e, err
	}
	return e, sent.Delete(key)
}

// withoutSum is a copy whose checksum is right, for an entry that is on its way out.
func withoutSum(value []byte) []byte { return withSum(bytes.Clone(value[:entryHead])) }

// evict drops the oldest until the rest has room.
func (s *spool) evict(batches, sent *bbolt.Bucket, r *spoolResult) error {
	for s.size > s.most {
		key, _ := batches.Cursor().First()
		if key == nil {
			return nil
		}
		e, err := s.remove(batches, sent, bytes.Clone(key))
		if err != nil {
			return err
		}
		r.evicted = append(r.evicted, e)
	}
	return nil
}

func (s *spool) load(batches, sent *bbolt.Bucket, r *spoolResult) error {
	job := r.job
	if job.load == 0 || job.after == math.MaxInt64 {
		return nil
	}
	var bad [][]byte
	seq := job.seq
	cursor := batches.Cursor()
	key, value := cursor.Seek(spoolKey(job.after + 1))
	for ; key != nil && len(r.loaded) < job.load; key, value = cursor.Next() {
		e, err := decodeEntry(key, value, sent.Get(key))
		if err != nil {
			bad = append(bad, bytes.Clone(key))
			continue
		}
		if e.boot == 0 {
			e.boot, e.seq = job.boot, seq
			seq++
			if err := sent.Put(spoolKey(e.base), encodeSent(e.boot, e.seq)); err != nil {
				return err
			}
		}
		r.loaded = append(r.loaded, e)
	}
	r.end = key == nil
	for _, key := range bad {
		e, err := s.remove(batches, sent, key)
		if err != nil {
			return err
		}
		r.damaged = append(r.damaged, e)
	}
	return nil
}
