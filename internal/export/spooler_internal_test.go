package export

import (
	"log/slog"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"flowsensor/internal/wire"
)

// Nothing is given up by a transaction that did not come about: what it was to make room with is in the spool still, and would
// be counted twice.
func TestFailedEvictionGivesNothingUp(t *testing.T) {
	s, _, err := openSpool(t.TempDir(), 1<<20, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	job := &spoolJob{}
	for base := range int64(4) {
		job.puts = append(job.puts, spoolEntry{kind: wire.Flows, base: base + 1, sum: Amount{Records: 1}, body: make([]byte, 1000)})
	}
	if r := s.do(job); r.err != nil {
		t.Fatal(r.err)
	}
	// A bucket in the place of the second one's number makes the transaction fail that takes it out.
	err = s.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.Bucket(sentBucket).CreateBucket(spoolKey(2))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.most, s.crowded = s.size/3, time.Now()
	if r := s.do(&spoolJob{}); r.err == nil || len(r.evicted) > 0 || s.batches != 4 || s.sum.Records != 4 {
		t.Errorf("%v; %d batches given up, the spool says that it holds %d with %d records", r.err, len(r.evicted), s.batches, s.sum.Records)
	}
}

// A disk that was full for a while does not make the spool small for ever.
func TestSpoolGrowsBack(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := &spool{limit: 8000, most: 700, crowded: now}
	for _, step := range []struct {
		after time.Duration
		most  int64
	}{{growAfter - 1, 700}, {growAfter, 1700}, {growAfter + 1, 1700}, {2 * growAfter, 2700}, {time.Hour, 3700}} {
		if s.grow(now.Add(step.after)); s.most != step.most {
			t.Errorf("after %v it may hold %d, want %d", step.after, s.most, step.most)
		}
	}
	for i := range 9 {
		s.grow(now.Add(time.Duration(2+i) * time.Hour))
	}
	if s.most != s.limit {
		t.Errorf("it grew to %d, the limit is %d", s.most, s.limit)
	}
}
