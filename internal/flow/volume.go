package flow

import "sync/atomic"

// Volume is what batches hold.
type Volume struct {
	Batches, Records, Packets, Bytes uint64
}

// VolumeOf is the volume of one batch.
func VolumeOf(b *Batch) Volume {
	v := Volume{Batches: 1}
	for i := range b.Records {
		v.AddRecord(&b.Records[i])
	}
	return v
}

// Add adds another volume.
func (v *Volume) Add(o Volume) {
	v.Batches += o.Batches
	v.Records += o.Records
	v.Packets += o.Packets
	v.Bytes += o.Bytes
}

// AddRecord adds a record, and no batch.
func (v *Volume) AddRecord(r *Record) {
	v.Records++
	v.Packets += r.Packets
	v.Bytes += r.Bytes
}

// VolumeCounter adds up volumes. It is safe for concurrent use; the zero value is ready.
type VolumeCounter struct {
	batches, records, packets, bytes atomic.Uint64
}

// Add adds a volume.
func (c *VolumeCounter) Add(v Volume) {
	c.batches.Add(v.Batches)
	c.records.Add(v.Records)
	c.packets.Add(v.Packets)
	c.bytes.Add(v.Bytes)
}

// Load gives the sum. Its parts are read one after the other: a volume that is being added may be in some of them.
func (c *VolumeCounter) Load() Volume {
	return Volume{Batches: c.batches.Load(), Records: c.records.Load(), Packets: c.packets.Load(), Bytes: c.bytes.Load()}
}
