package capture

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// blockHeaderOffset is where struct tpacket_hdr_v1 begins in struct tpacket_block_desc (linux/if_packet.h).
const blockHeaderOffset = unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr)

// blockHeader gives the header of the block that b begins with.
func blockHeader(b []byte) *unix.TpacketHdrV1 {
	return (*unix.TpacketHdrV1)(unsafe.Pointer(&b[blockHeaderOffset]))
}

// linkAddressOffset is where struct sockaddr_ll stands behind struct tpacket3_hdr: TPACKET_ALIGN of its size.
const linkAddressOffset = (unix.SizeofTpacket3Hdr + unix.TPACKET_ALIGNMENT - 1) &^ (unix.TPACKET_ALIGNMENT - 1)

// packetSpace is the least room that a packet takes: its header and its address.
const packetSpace = linkAddressOffset + unix.SizeofSockaddrLinklayer

// blocks walks a TPACKET_V3 ring in order. It is plain memory to it: it makes no system call and knows no socket.
//
// A block's status is its lock. The kernel stores TP_STATUS_USER behind a write barrier, when the block is full or its
// time is over, and does not touch the block until it reads TP_STATUS_KERNEL (prb_close_block and prb_open_block in
// net/packet/af_packet.c): so the status is loaded before anything else of the block is read, and stored after, with
// Go's atomics, which order both.
type blocks struct {
	mem        []byte
	size       int
	next       int           // offset of the block to be read next
	vnet       vnetPolicy    // a virtio_net_hdr stands in front of each frame
	lull       time.Duration // how long the reader does well not to look for the next block; 0: it asks the kernel to be woken
	lossBlocks atomic.Uint64
}

// ready reports whether the next block is ours.
func (b *blocks) ready() bool {
	return atomic.LoadUint32(&blockHeader(b.mem[b.next:]).Block_status)&unix.TP_STATUS_USER != 0
}

// A packet was put there by another processor, or long ago: to read it is to wait for memory, unless it was asked for
// before. So each packet has as much asked for as it is long itself, lookAheadOctets further on, and in the end all of the
// block was. That is more than is read where packets are longer than the default snap length leaves them: there it is the
// headers of the next one.
const (
	lookAheadOctets = 2048
	longPacket      = 512
	headersOctets   = 192 // its header, its address, and those of the frame
)

func lookAhead(block []byte, offset, next uint64) {
	ahead, octets := offset+lookAheadOctets, next
	if next > longPacket {
		ahead, octets = offset+next, headersOctets
	}
	if ahead < uint64(len(block)) {
		prefetch(&block[ahead], octets)
	}
}

// walk hands over the next block's frames, which must be ready, and gives the block back.
func (b *blocks) walk(f *frame.Frame, visit func(*frame.Frame)) int {
	block := b.mem[b.next : b.next+b.size : b.next+b.size]
	h := blockHeader(block)
	if h.Block_status&unix.TP_STATUS_LOSING != 0 {
		b.lossBlocks.Add(1)
	}
	b.lull = lullAfter(h, len(b.mem)/b.size)
	n, offset := 0, uint64(h.Offset_to_first_pkt)
	for left := h.Num_pkts; left > 0 && offset+packetSpace <= uint64(len(block)); left-- {
		p := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[offset]))
		if p.Status&unix.TP_STATUS_USER == 0 {
			// Without a frame: the kernel had made room for it before it found that it has no virtio_net_hdr for such a
			// packet, and counted it as dropped (tpacket_rcv in net/packet/af_packet.c). The rest of p is another's.
			if p.Next_offset == 0 {
				break
			}
			offset += uint64(p.Next_offset)
			continue
		}
		start := offset + uint64(p.Mac)
		end := start + uint64(p.Snaplen)
		if end > uint64(len(block)) {
			break
		}
		address := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&block[offset+linkAddressOffset]))
		f.Data = block[start:end:end]
		f.Time = int64(p.Sec)*1e9 + int64(p.Nsec)
		f.Len = p.Len
		f.IfIndex = uint32(address.Ifindex)
		f.VLAN = 0
		if p.Status&unix.TP_STATUS_VLAN_VALID != 0 { // VLAN 0 is valid
			f.VLAN = flow.VLANFromTCI(uint16(p.Hv1.Vlan_tci))
		}
		f.SegmentSize, f.SegmentProto = 0, 0
		if b.vnet && p.Mac >= vnetHeader && block[start-vnetHeader+vnetGSOType] != 0 { // of most frames there is nothing to say
			readVnet(f, block[start-vnetHeader:start])
		}
		n++
		next := uint64(p.Next_offset)
		lookAhead(block, offset, next)
		visit(f)
		if next == 0 {
			break
		}
		offset += next
	}
	b.release()
	return n
}

// longestLull bounds how long frames lie in a ring that is read in naps.
const longestLull = 8 * time.Millisecond

// lullAfter says for how long a reader that has caught up leaves the ring alone, by how fast a block filled. Being woken for each
// block costs more than reading it: two switches of the thread, and on the way there and back Go's scheduler gives the
// processor to another thread. So where blocks fill one after the other the reader lets several gather, but no more than a
// sixteenth of the ring. After a block that was closed by its time it is 0: there the next one is far.
func lullAfter(h *unix.TpacketHdrV1, blocks int) time.Duration {
	if h.Block_status&unix.TP_STATUS_BLK_TMO != 0 {
		return 0
	}
	first, last := &h.Ts_first_pkt, &h.Ts_last_pkt // of TPACKET_V3: seconds and, in Usec, nanoseconds
	filled := time.Duration(int64(last.Sec)-int64(first.Sec))*time.Second + time.Duration(int64(last.Usec)-int64(first.Usec))
	lull := min(longestLull, filled*time.Duration(blocks/16))
	if filled <= 0 || lull < filled {
		return 0
	}
	return lull
}

// release gives the next block back to the kernel. One block that is kept stops the whole ring once it comes round to it.
func (b *blocks) release() {
	atomic.StoreUint32(&blockHeader(b.mem[b.next:]).Block_status, unix.TP_STATUS_KERNEL)
	b.next += b.size
	if b.next == len(b.mem) {
		b.next = 0
	}
}
