package wire_test

import (
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/wire"
)

var mixes = []string{"mixed", "tcp", "dns", "v6"}

// BenchmarkEncode packs records into datagrams, and says how dense they get.
func BenchmarkEncode(b *testing.B) {
	for _, name := range mixes {
		b.Run(name, func(b *testing.B) { benchEncode(b, mix(name, 8000)) })
	}
	b.Run("corpus", func(b *testing.B) { benchEncode(b, corpusRecords(b)) })
}

func benchEncode(b *testing.B, records []flow.Record) {
	b.Helper()
	e := wire.NewFlowsEncoder(datagramBody)
	dst := make([]byte, 0, datagramBody)
	n, octets, datagrams := 0, 0, 0
	b.ReportAllocs()
	for b.Loop() {
		e.Reset()
		for e.Add(&records[n%len(records)], "eth0") {
			n++
		}
		dst = e.AppendBody(dst[:0], wire.Numbers{Seq: 1, Floor: 1, Base: noon})
		octets += len(dst)
		datagrams++
	}
	report(b, n)
	b.ReportMetric(float64(octets)/float64(n), "octets/record")
	b.ReportMetric(float64(n)/float64(datagrams), "records/datagram")
}

// BenchmarkParse parses bodies that fill a datagram.
func BenchmarkParse(b *testing.B) {
	for _, name := range mixes {
		b.Run(name, func(b *testing.B) { benchParse(b, mix(name, 8000)) })
	}
	b.Run("corpus", func(b *testing.B) { benchParse(b, corpusRecords(b)) })
}

func benchParse(b *testing.B, records []flow.Record) {
	b.Helper()
	all := bodies(b, records, datagramBody)
	var batch flow.Batch
	n, datagrams := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		if err := wire.ParseFlows(all[datagrams%len(all)], &batch); err != nil {
			b.Fatal(err)
		}
		n += len(batch.Records)
		datagrams++
	}
	report(b, n)
}

func report(b *testing.B, records int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
}

// corpusRecords are the flows of all captures.
func corpusRecords(b *testing.B) []flow.Record {
	b.Helper()
	var records []flow.Record
	for _, path := range captures(b) {
		records = append(records, flowsOf(b, path)...)
	}
	return records
}
