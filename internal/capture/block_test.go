package capture

import (
	"bytes"
	"testing"
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
}

func putBlock(block []byte, status uint32, packets []fakePacket) {
	const first, mac = 48, 82
	h := blockHeader(block)
	h.Num_pkts, h.Offset_to_first_pkt = uint32(len(packets)), first
	offset := first
	for i, p := range packets {
		header := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[offset]))
		header.Sec, header.Nsec, header.Mac = 1_700_000_000, uint32(i), mac
		header.Snaplen, header.Len, header.Status = uint32(len(p.data)), p.len, p.status
		header.Hv1.Vlan_tci = p.tci
		(*unix.RawSockaddrLinklayer)(unsafe.Pointer(&block[offset+linkAddressOffset])).Ifindex = 7
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

// What the kernel never writes must not take the reader out of the block either.
func FuzzBlock(f *testing.F) {
	good := memory(4096)
	putBlock(good, unix.TP_STATUS_USER, []fakePacket{{data: make([]byte, 60), len: 60}, {data: make([]byte, 90), len: 90}})
	f.Add(good[:300])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		const size = 4096
		b := blocks{mem: memory(2 * size), size: size}
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
