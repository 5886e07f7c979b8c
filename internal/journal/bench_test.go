package journal_test

import (
	"fmt"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
	"flowsensor/internal/wire"
)

// coded is a batch as ingest hands it over: with its body.
func coded(b *flow.Batch) *flow.Batch {
	e := wire.NewFlowsEncoder(64 << 10)
	for i := range b.Records {
		e.Add(&b.Records[i], "eth0")
	}
	b.Body = e.AppendBody(nil, wire.Numbers{Boot: b.Boot, Seq: b.Seq, Floor: b.Floor, Base: b.Base})
	return b
}

// BenchmarkAppend is what a flow costs from Append until it is durable.
func BenchmarkAppend(b *testing.B) {
	for _, form := range []string{"body", "records"} {
		b.Run(form, func(b *testing.B) {
			c := config(b)
			c.MaxSize = 8 << 30
			j := open(b, c)
			defer closeJournal(b, j)
			a := appendTo(b, j)
			const records = 45
			batches := make([]*flow.Batch, 1024)
			for i := range batches {
				batches[i] = batchOf(fmt.Sprintf("edge-%d", i%10), uint64(i), records)
				if form == "body" {
					coded(batches[i])
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			start := time.Now()
			for i := range b.N {
				a.put(batches[i%len(batches)])
			}
			a.drain()
			took := time.Since(start)
			st := a.Stats()
			b.ReportMetric(float64(st.Appended.Records)/took.Seconds(), "flows/s")
			b.ReportMetric(float64(st.Octets)/1e6/took.Seconds(), "MB/s")
			b.ReportMetric(float64(st.Octets)/float64(st.Messages)/1024, "KiB/message")
			b.ReportMetric(st.PublishTime.Seconds()/float64(st.Messages)*1e3, "ms/publish")
		})
	}
}

// BenchmarkDrain is what a flow costs from the journal to a next stage that takes it at once.
func BenchmarkDrain(b *testing.B) {
	c := config(b)
	c.MaxSize = 8 << 30
	j := open(b, c)
	defer closeJournal(b, j)
	a := appendTo(b, j)
	const records = 45
	for i := range b.N {
		a.put(coded(batchOf(fmt.Sprintf("edge-%d", i%10), uint64(i/10), records)))
	}
	a.drain()
	var r *journal.Reader
	ready := make(chan *flow.Batch, 1024)
	go func() {
		for batch := range ready {
			r.Stored(batch)
		}
	}()
	defer close(ready)
	r = j.Reader(func(batch *flow.Batch) error { ready <- batch; return nil })
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	run := make(chan error)
	go func() { run <- r.Run(b.Context()) }()
	if err := r.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := <-run; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N*records)/time.Since(start).Seconds(), "flows/s")
	b.ReportMetric(float64(r.Stats().Checkpoints), "checkpoints")
}

// BenchmarkBacklog is the time in which a million flows stand in the journal.
func BenchmarkBacklog(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		c := config(b)
		c.MaxSize = 8 << 30
		j := open(b, c)
		a := appendTo(b, j)
		const records, flows = 45, 1_000_000
		batches := make([]*flow.Batch, 0, flows/records+1)
		for i := range flows/records + 1 {
			batches = append(batches, coded(batchOf("edge-1", uint64(i), records)))
		}
		b.StartTimer()
		for _, batch := range batches {
			a.put(batch)
		}
		a.drain()
		b.StopTimer()
		closeJournal(b, j)
		b.StartTimer()
	}
}
