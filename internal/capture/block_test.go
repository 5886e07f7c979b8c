package capture

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// The ring here is plain memory, laid out as the kernel does it:
//
//	block:  tpacket_block_desc | packet | packet | ...
//	packet: tpacket3_hdr (48) | sockaddr_ll (20) | room | frame at tp_mac (82) ... | next packet at tp_next_offset

type fakePacket struct {
	data   []byte
	len    uint32
	status uint32
	tci    uint32
	vnet   []byte // in front of the frame
	ghost  bool   // the kernel made room, and had no frame for it
}

func putBlock(block []byte, status uint32, packets []fakePacket) {
	const first, mac = 48, 82
	h := blockHeader(block)
	h.Num_pkts, h.Offset_to_first_pkt = uint32(len(packets)), first
	offset := first
	for i, p := range packets {
		header := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[offset]))
		header.Sec, header.Nsec, header.Mac = 1_700_000_000, uint32(i), mac
		header.Snaplen, header.Len, header.Status = uint32(len(p.data)), p.len, p.status|unix.TP_STATUS_USER
		header.Hv1.Vlan_tci = p.tci
		(*unix.RawSockaddrLinklayer)(unsafe.Pointer(&block[offset+linkAddressOffset])).Ifindex = 7
		if p.ghost {
			header.Status, header.Snaplen, header.Len = p.status, 0xffff, 0xffff // another's, or nobody's
		}
		copy(block[offset+mac-len(p.vnet):], p.vnet)
		copy(block[offset+mac:], p.data)
		size := (mac + len(p.data) + 7) &^ 7
		if i < len(packets)-1 {
			header.Next_offset = uint32(size)
		}
		offset += size
	}
	h.Block_status = status
}

// memory is aligned as a mapping is.
func memory(size int) []byte {
	words := make([]uint64, size/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
}

func TestBlocksAreWalkedInOrderAndGivenBack(t *testing.T) {
	const size = 4096
	b := blocks{mem: memory(3 * size), size: size}
	for round := range byte(7) { // round the end, twice
		if b.ready() {
			t.Fatal("a block of the kernel's is ready")
		}
		block := b.mem[b.next : b.next+size]
		putBlock(block, unix.TP_STATUS_USER|unix.TP_STATUS_BLK_TMO, []fakePacket{
			{data: []byte{round, 0, 0}, len: 60},
			{data: bytes.Repeat([]byte{round, 1}, 700), len: 1514, status: unix.TP_STATUS_VLAN_VALID, tci: 0xe005},
			{data: []byte{round, 2, 2}, len: 60, status: unix.TP_STATUS_VLAN_VALID},
		})
		checkWalk(t, &b, []frame.Frame{
			{Data: []byte{round, 0, 0}, Len: 60},
			{Data: bytes.Repeat([]byte{round, 1}, 700), Len: 1514, VLAN: flow.VLANFromTCI(5)},
			{Data: []byte{round, 2, 2}, Len: 60, VLAN: flow.VLANFromTCI(0)},
		})
		if blockHeader(block).Block_status != unix.TP_STATUS_KERNEL {
			t.Error("the block was not given back")
		}
	}
	if n := b.lossBlocks.Load(); n != 0 {
		t.Errorf("%d blocks with loss", n)
	}
	putBlock(b.mem[b.next:], unix.TP_STATUS_USER|unix.TP_STATUS_LOSING, nil)
	checkWalk(t, &b, nil)
	if n := b.lossBlocks.Load(); n != 1 {
		t.Errorf("%d blocks with loss", n)
	}
}

func checkWalk(t *testing.T, b *blocks, want []frame.Frame) {
	t.Helper()
	var f frame.Frame
	i := 0
	n := b.walk(&f, func(f *frame.Frame) {
		w := want[i]
		if !bytes.Equal(f.Data, w.Data) || f.Len != w.Len || f.VLAN != w.VLAN {
			t.Errorf("frame %d: %+v, want %+v", i, f, w)
		}
		if f.Time != 1_700_000_000_000_000_000+int64(i) || f.IfIndex != 7 || cap(f.Data) != len(f.Data) {
			t.Errorf("frame %d: time %d, interface %d, room behind it %d", i, f.Time, f.IfIndex, cap(f.Data)-len(f.Data))
		}
		i++
	})
	if n != len(want) || i != n {
		t.Errorf("%d frames, %d visited, want %d", n, i, len(want))
	}
}

// A packet for which the kernel has no virtio_net_hdr counts as dropped, but its place in the block stays.
func TestPlacesWithoutAFrameAreSkipped(t *testing.T) {
	b := blocks{mem: memory(4096), size: 4096}
	frames := []fakePacket{
		{ghost: true},
		{data: []byte{1, 1, 1}, len: 60},
		{ghost: true, status: unix.TP_STATUS_VLAN_VALID},
		{data: []byte{1, 3, 3}, len: 60},
		{ghost: true},
	}
	putBlock(b.mem, unix.TP_STATUS_USER, frames)
	var seen []byte
	var f frame.Frame
	if n := b.walk(&f, func(f *frame.Frame) { seen = append(seen, f.Data[1]) }); n != 2 || !bytes.Equal(seen, []byte{1, 3}) {
		t.Errorf("%d frames: %v", n, seen)
	}
}

func TestSegmentsAreTakenFromTheHeader(t *testing.T) {
	vnet := func(gsoType byte, size uint16) []byte {
		return append(binary.NativeEndian.AppendUint16([]byte{0xff, gsoType, 0xff, 0xff}, size), 0xff, 0xff, 0xff, 0xff)
	}
	for _, c := range []struct {
		header []byte
		vnet   vnetPolicy
		size   uint16
		proto  uint8
	}{
		{vnet(1, 1448), true, 1448, flow.ProtoTCP},
		{vnet(0x81, 1448), true, 1448, flow.ProtoTCP}, // with ECN
		{vnet(4, 1428), true, 1428, flow.ProtoTCP},
		{vnet(5, 1200), true, 1200, flow.ProtoUDP},
		{vnet(3, 1200), true, 0, 0}, // fragments
		{vnet(0, 1200), true, 0, 0},
		{vnet(1, 1448), false, 0, 0}, // not a header
	} {
		b := blocks{mem: memory(4096), size: 4096, vnet: c.vnet}
		putBlock(b.mem, unix.TP_STATUS_USER, []fakePacket{{data: []byte{1, 2, 3}, len: 9000, vnet: c.header}})
		var f frame.Frame
		n := b.walk(&f, func(f *frame.Frame) {
			if f.SegmentSize != c.size || f.SegmentProto != c.proto {
				t.Errorf("%x: %d octets of protocol %d", c.header, f.SegmentSize, f.SegmentProto)
			}
		})
		if n != 1 {
			t.Errorf("%d frames", n)
		}
	}
}

func TestReleaseAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.2.0": true, "6.2": true, "6.18.44-fc": true, "10.0.1": true, "6.1.0-28-amd64": false, "5.19.0": false, "": false, "x": false,
	} {
		if ReleaseAtLeast(release, 6, 2) != want {
			t.Errorf("%q", release)
		}
	}
}

// What the kernel never writes must not take the reader out of the block either.
func FuzzBlock(f *testing.F) {
	good := memory(4096)
	putBlock(good, unix.TP_STATUS_USER, []fakePacket{{data: make([]byte, 60), len: 60}, {data: make([]byte, 90), len: 90}})
	f.Add(good[:300])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		const size = 4096
		b := blocks{mem: memory(2 * size), size: size, vnet: len(data)%2 == 1}
		copy(b.mem[:size], data)
		h := blockHeader(b.mem)
		h.Offset_to_first_pkt &^= 7 // the kernel aligns packets, and the race detector's checks want it
		for off := uint64(h.Offset_to_first_pkt); off+packetSpace <= size; {
			p := (*unix.Tpacket3Hdr)(unsafe.Pointer(&b.mem[off]))
			p.Next_offset &^= 7
			if p.Next_offset == 0 {
				break
			}
			off += uint64(p.Next_offset)
		}
		var fr frame.Frame
		total := 0
		n := b.walk(&fr, func(f *frame.Frame) { total += len(f.Data) })
		if b.next != size || n > size/8+1 {
			t.Errorf("%d frames, next block at %d", n, b.next)
		}
	})
}

func TestAReaderThatHasCaughtUpLetsBlocksGather(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		filled time.Duration
		status uint32
		blocks int
		want   time.Duration
	}{
		{"as long as a sixteenth of the ring takes", 50 * time.Microsecond, 0, 1024, 64 * 50 * time.Microsecond},
		{"and no longer than the bound", 500 * time.Microsecond, 0, 1024, 8 * ms},
		{"over a second's end", 1010 * time.Millisecond, 0, 1024, 0},
		{"for a block or more", 7 * ms, 0, 1024, 8 * ms},
		{"not for less", 9 * ms, 0, 1024, 0},
		{"not after a block that was closed by its time", 50 * time.Microsecond, unix.TP_STATUS_BLK_TMO, 1024, 0},
		{"not in a small ring", 50 * time.Microsecond, 0, 15, 0},
		{"not where the clock was set back", -ms, 0, 1024, 0},
	} {
		h := &unix.TpacketHdrV1{Block_status: unix.TP_STATUS_USER | c.status}
		h.Ts_first_pkt = unix.TpacketBDTS{Sec: 1_700_000_000, Usec: 995_000_000} // of TPACKET_V3: nanoseconds
		last := time.Unix(1_700_000_000, 995_000_000).Add(c.filled)
		h.Ts_last_pkt = unix.TpacketBDTS{Sec: uint32(last.Unix()), Usec: uint32(last.Nanosecond())}
		if got := lullAfter(h, c.blocks); got != c.want {
			t.Errorf("%s: filled in %v, %d blocks: %v, want %v", c.name, c.filled, c.blocks, got, c.want)
		}
	}
}
