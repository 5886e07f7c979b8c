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

// NewMemoryRing makes a ring of blocks of the default size that holds so many frames; each is given by its number.
func NewMemoryRing(frames int, frameOf func(i int) []byte) *MemoryRing {
	const blockSize = DefaultBlockSize
	noSegments := make([]byte, vnetHeader)
	var packets []fakePacket
	var filled [][]fakePacket
	room := blockSize
	for i := range frames {
		data := frameOf(i)
		need := (packetSpace + vnetHeader + 16 + len(data) + 15) &^ 15
		if need > room-64 {
			filled, packets, room = append(filled, packets), nil, blockSize
		}
		packets = append(packets, fakePacket{data: data, len: uint32(len(data)), vnet: noSegments})
		room -= need
	}
	filled = append(filled, packets)
	r := &MemoryRing{count: frames, blocks: blocks{mem: memory(len(filled) * blockSize), size: blockSize, vnet: true}}
	for i, packets := range filled {
		putBlock(r.blocks.mem[i*blockSize:(i+1)*blockSize], unix.TP_STATUS_KERNEL, packets)
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
