//go:build cgo

package capture

import (
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/google/gopacket/afpacket"
	"golang.org/x/sys/unix"

	"flowsensor/internal/flow"
	"flowsensor/internal/frame"
)

// afpacketEngine reads a ring with github.com/google/gopacket/afpacket. What that package does not give it gets at by
// reflection, without touching anything: the descriptor and the ring. The version is pinned, and a test holds the names.
//
// Known and accepted: two allocations for a frame with a stripped VLAN tag, the tag's priority and DEI are lost, and the
// block status is a plain load, which amd64 orders and arm64 need not (the ring engine has none of these). Its poll
// starts over after a signal; the signals of Go's profiler come by CPU time, which a waiting thread does not use.
type afpacketEngine struct {
	tp         *afpacket.TPacket
	socket     int
	ring       []byte
	blockSize  uintptr
	lossBlocks atomic.Uint64
}

// openAFPacket: frames of other interfaces cannot be in the ring, though the socket takes all protocols before it is
// bound: the ring is made after that, and making it purges the socket's queue (packet_set_ring). OptInterface is never
// empty, see Config.Validate. SocketRaw, for SOCK_DGRAM would lose the ethertype.
func openAFPacket(spec engineSpec) (engine, error) {
	// The descriptor has no close-on-exec flag yet: no program may be started meanwhile, for it would keep the ring.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	tp, err := afpacket.NewTPacket(
		afpacket.OptInterface(spec.dev.name),
		afpacket.OptFrameSize(frameSize),
		afpacket.OptBlockSize(spec.cfg.BlockSize),
		afpacket.OptNumBlocks(spec.cfg.blocks()),
		afpacket.OptBlockTimeout(spec.cfg.BlockTimeout),
		afpacket.OptPollTimeout(pollWait),
		afpacket.TPacketVersion3,
		afpacket.SocketRaw,
	)
	if err != nil {
		return nil, err
	}
	e := &afpacketEngine{tp: tp, blockSize: uintptr(spec.cfg.BlockSize)}
	if e.socket, e.ring, err = insides(tp); err != nil {
		tp.Close()
		return nil, err
	}
	unix.CloseOnExec(e.socket)
	// NewTPacket looked the name up again: it may be another interface's by now.
	if index, err := boundTo(e.socket); err != nil || index != spec.dev.index {
		tp.Close()
		return nil, errors.Join(fmt.Errorf("%s is being replaced: %w", spec.dev.name, ErrNoInterface), err)
	}
	return e, nil
}

// insides reads the unexported descriptor and ring of a TPacket.
func insides(tp *afpacket.TPacket) (fd int, ring []byte, err error) {
	v := reflect.ValueOf(tp).Elem()
	fdField, ringField := v.FieldByName("fd"), v.FieldByName("ring")
	if fdField.Kind() != reflect.Int || ringField.Kind() != reflect.Slice || ringField.Type().Elem().Kind() != reflect.Uint8 {
		return 0, nil, errors.New("gopacket/afpacket is not the version this was written for: TPacket has other fields")
	}
	return int(fdField.Int()), ringField.Bytes(), nil
}

func (e *afpacketEngine) fd() int { return e.socket }

func (e *afpacketEngine) losing() uint64 { return e.lossBlocks.Load() }

func (e *afpacketEngine) close() error {
	e.tp.Close() // it has no error to give
	return nil
}

// settle reads until a whole wait brings nothing: then the block that was being filled has been handed over too. Counting
// would not do: NewTPacket makes the ring first and clears the kernel's counts later, so more frames are there than
// were counted.
func (e *afpacketEngine) settle() error {
	for failures := 0; failures < 3; {
		_, _, err := e.tp.ZeroCopyReadPacketData()
		switch {
		case err == nil:
		case errors.Is(err, afpacket.ErrTimeout):
			return nil
		case errors.Is(err, afpacket.ErrPoll):
			failures++
			_ = takeError(e.socket) // the interface is down, or was
		default:
			return fmt.Errorf("empty the ring: %w", err)
		}
	}
	return nil
}

func (e *afpacketEngine) walk(f *frame.Frame, visit func(*frame.Frame)) (int, error) {
	n, last := 0, 1
	for n < last {
		data, ci, err := e.tp.ZeroCopyReadPacketData()
		if err != nil {
			return n, readError(err)
		}
		if n == 0 {
			last = e.frames(data)
		}
		f.Data, f.Len, f.IfIndex = data, uint32(ci.Length), uint32(ci.InterfaceIndex)
		f.Time = ci.Timestamp.UnixNano()
		f.VLAN = 0
		if len(ci.AncillaryData) > 0 {
			if tag, ok := ci.AncillaryData[0].(afpacket.AncillaryVLAN); ok {
				f.VLAN = flow.VLANFromTCI(uint16(tag.VLAN)) // VLAN 0, a priority tag, is there too
			}
		}
		n++
		visit(f)
	}
	return n, nil
}

func readError(err error) error {
	switch {
	case errors.Is(err, afpacket.ErrTimeout):
		return nil
	case errors.Is(err, afpacket.ErrPoll):
		return errLink
	default:
		return fmt.Errorf("read the ring: %w", err)
	}
}

// frames gives the number of frames in the block that data, its first one, lies in: gopacket does not show where a block
// ends, and the call after the last frame would wait for the next block.
func (e *afpacketEngine) frames(data []byte) int {
	offset := uintptr(unsafe.Pointer(unsafe.SliceData(data))) - uintptr(unsafe.Pointer(&e.ring[0]))
	h := blockHeader(e.ring[offset-offset%e.blockSize:])
	if h.Block_status&unix.TP_STATUS_LOSING != 0 {
		e.lossBlocks.Add(1)
	}
	return int(h.Num_pkts)
}
