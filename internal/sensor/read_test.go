package sensor

import (
	"bytes"
	"encoding/binary"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/pcapfile"
)

// pcap is a capture file of Ethernet frames. Each has a time of seconds and microseconds, and a length on the wire.
func pcap(frames ...pcapFrame) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	for _, v := range []uint32{2 | 4<<16, 0, 0, 65535, 1} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, f := range frames {
		for _, v := range []uint32{f.seconds, f.microseconds, uint32(len(f.data)), f.wire} {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		b = append(b, f.data...)
	}
	return b
}

type pcapFrame struct {
	seconds, microseconds, wire uint32
	data                        []byte
}

// What was odd about the frames of capture files is in the ledger, added up over all files.
func TestLedgerTellsOfOddFrames(t *testing.T) {
	r, err := NewReader(Defaults().Flows, nil, func(*flow.Record, string) {})
	if err != nil {
		t.Fatal(err)
	}
	data := tcpFrame(1)
	wire := uint32(len(data))
	odd := pcap(pcapFrame{1, 0, wire, data}, pcapFrame{2, 0, wire - 1, data}, pcapFrame{0, 1<<32 - 1, wire, data})
	for range 2 {
		file, err := pcapfile.NewReader(bytes.NewReader(odd))
		if err == nil {
			err = r.Read(t.Context(), file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	l := r.Ledger()
	if l.Notes["overlong"] != 2 || l.Notes["time_clamped"] != 2 || l.Notes["untimed"] != 0 || !l.Balanced() || l.Packets.Accounted != 6 {
		t.Errorf("%+v", l)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
