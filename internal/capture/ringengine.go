package capture

import (
	"errors"
	"fmt"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"flowsensor/internal/detach"
	"flowsensor/internal/frame"
)

// ringEngine walks a TPACKET_V3 ring of our own on a github.com/mdlayher/packet socket. The socket rejects everything
// from before it is bound, so nothing is in the ring before the group is complete.
type ringEngine struct {
	socket int // no poller watches it: whoever walks polls by himself
	blocks blocks
}

func openRing(spec engineSpec) (engine, error) {
	conn, err := packet.Listen(spec.dev.iface(), packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: rejectAll()})
	if err != nil {
		return nil, err
	}
	e := &ringEngine{blocks: blocks{size: spec.cfg.BlockSize, vnet: spec.vnet}}
	if e.socket, err = detach.Socket(conn); err != nil {
		return nil, err
	}
	if err := e.mapRing(spec.cfg); err != nil {
		return nil, errors.Join(err, unix.Close(e.socket))
	}
	return e, nil
}

func (e *ringEngine) mapRing(cfg Config) (err error) {
	if err := unix.SetsockoptInt(e.socket, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("set TPACKET_V3: %w", err)
	}
	if e.blocks.vnet {
		if err := setVnet(e.socket); err != nil {
			return err
		}
	}
	req := unix.TpacketReq3{
		Block_size: uint32(cfg.BlockSize), Block_nr: uint32(cfg.blocks()),
		Frame_size: frameSize, Frame_nr: uint32(cfg.RingSize / frameSize),
		Retire_blk_tov: uint32(cfg.BlockTimeout.Milliseconds()), // 0 would let the kernel guess from the link's speed
	}
	if err := unix.SetsockoptTpacketReq3(e.socket, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("make a ring of %d MiB: %w", cfg.RingSize>>20, err)
	}
	// Not MAP_LOCKED: the pages are the kernel's, there at once and never swapped; the flag would need CAP_IPC_LOCK.
	e.blocks.mem, err = unix.Mmap(e.socket, 0, cfg.RingSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the ring: %w", err)
	}
	return nil
}

func (e *ringEngine) fd() int { return e.socket }

func (e *ringEngine) losing() uint64 { return e.blocks.lossBlocks.Load() }

func (e *ringEngine) settle() error { return nil }

// walk: a poll that says "ready" although the block in turn is not cannot spin here. The kernel says so for as long as
// the block before its own is not its own (packet_poll), and every block is given back before the next poll.
func (e *ringEngine) walk(f *frame.Frame, visit func(*frame.Frame)) (int, error) {
	if !e.blocks.ready() && e.blocks.lull > 0 {
		nap(e.blocks.lull)
		e.blocks.lull = 0 // should nothing have come meanwhile, the poll waits for it
	}
	if !e.blocks.ready() {
		if _, err := wait(e.socket); err != nil {
			return 0, err
		}
		if !e.blocks.ready() {
			return 0, nil
		}
	}
	return e.blocks.walk(f, visit), nil
}

func (e *ringEngine) close() error {
	return errors.Join(unix.Munmap(e.blocks.mem), unix.Close(e.socket))
}
