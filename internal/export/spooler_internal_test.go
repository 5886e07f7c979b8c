package export

import (
	"log/slog"
	"testing"

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
	s.most = s.size / 3
	if r := s.do(&spoolJob{}); r.err == nil || len(r.evicted) > 0 || s.batches != 4 || s.sum.Records != 4 {
		t.Errorf("%v; %d batches given up, the spool says that it holds %d with %d records", r.err, len(r.evicted), s.batches, s.sum.Records)
	}
}
