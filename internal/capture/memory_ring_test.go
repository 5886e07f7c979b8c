package capture

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"flowsensor/internal/frame"
)

// MemoryRing is a ring that no kernel fills: the blocks are plain memory, walked as a socket's are, over and over.
type MemoryRing struct {
	blocks blocks
	frame  frame.Frame
	count  int
}

// NewMemoryRing makes a ring of blocks of the default size that holds so many frames, all of one length; each is given by
// its number.
func NewMemoryRing(frames int, frameOf func(i int) []byte) *MemoryRing {
	const size = DefaultBlockSize
	const first = 48                                              // as putBlock has it
	room := (packetSpace + vnetHeader + 16 + len(frameOf(0))) | 7 // and what aligns the next one
	perBlock := (size - first) / (room + 1)
	count := (frames + perBlock - 1) / perBlock
	r := &MemoryRing{count: frames, blocks: blocks{mem: memory(count * size), size: size, vnet: true}}
	for i := range count {
		packets := make([]fakePacket, min(perBlock, frames-i*perBlock))
		for j := range packets {
			data := frameOf(i*perBlock + j)
			packets[j] = fakePacket{data: data, len: uint32(len(data)), vnet: make([]byte, vnetHeader)}
		}
		putBlock(r.blocks.mem[i*size:(i+1)*size], unix.TP_STATUS_KERNEL, packets)
	}
	r.frame.Link = frame.Ethernet
	return r
}

// Walk hands over every frame once.
func (r *MemoryRing) Walk(visit func(*frame.Frame)) {
	for at := 0; at < len(r.blocks.mem); at += r.blocks.size { // what the kernel does when it closes a block
		atomic.StoreUint32(&blockHeader(r.blocks.mem[at:]).Block_status, unix.TP_STATUS_USER)
	}
	for left := r.count; left > 0; {
		left -= r.blocks.walk(&r.frame, visit)
	}
}

// Describe says whether the ring has a virtio_net_hdr in front of each frame.
func (r *MemoryRing) Describe(segments bool) { r.blocks.vnet = vnetPolicy(segments) }
