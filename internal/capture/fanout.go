package capture

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// fanout is how the sockets of a tap share its frames.
type fanout struct {
	mode    FanoutMode
	program []bpf.RawInstruction // of FanoutFlow
}

// newFanout makes the program once for a tap, so that a flow stays with its worker when the sockets are opened again.
func newFanout(mode FanoutMode) (fanout, error) {
	f := fanout{mode: mode}
	if mode != FanoutFlow {
		return f, nil
	}
	ins, err := steerProgram(newMultipliers())
	if err != nil {
		return f, err
	}
	if f.program, err = bpf.Assemble(ins); err != nil {
		return f, fmt.Errorf("assemble the fanout program: %w", err)
	}
	return f, nil
}

// join makes the sockets one group. Ids are shared by all programs of a network namespace: a group of the same id,
// mode and interface would take a part of our packets away without a word, so the kernel chooses an id that nobody has
// (PACKET_FANOUT_FLAG_UNIQUEID, Linux 4.12). Where it cannot, ids are tried from the process id on.
func (f fanout) join(fds []int) error {
	if len(fds) < 2 {
		return nil
	}
	id, err := firstMember(fds[0], f.mode, joinGroup, os.Getpid())
	if err != nil {
		return fmt.Errorf("make a fanout group: %w", err)
	}
	if f.mode == FanoutFlow { // the group's, whichever member sets it
		if err := setProgram(fds[0], unix.SOL_PACKET, unix.PACKET_FANOUT_DATA, f.program); err != nil {
			return fmt.Errorf("set the fanout program: %w", err)
		}
	}
	for _, fd := range fds[1:] {
		if err := joinGroup(fd, f.mode.kernel(), id); err != nil {
			return fmt.Errorf("join the fanout group: %w", err)
		}
	}
	return nil
}

// fanoutTries is how many ids are tried where the kernel does not choose.
const fanoutTries = 64

// firstMember makes the group and gives its id. An id that a group of another mode or interface has is EINVAL.
func firstMember(fd int, mode FanoutMode, join func(fd, typeFlags int, id uint16) error, pid int) (uint16, error) {
	err := join(fd, mode.kernel()|unix.PACKET_FANOUT_FLAG_UNIQUEID, 0)
	if err == nil {
		value, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
		return uint16(value), err
	}
	for try := 0; errors.Is(err, unix.EINVAL) && try < fanoutTries; try++ {
		id := uint16(pid + try*257)
		if err = join(fd, mode.kernel(), id); err == nil {
			return id, nil
		}
	}
	return 0, err
}

func joinGroup(fd, typeFlags int, id uint16) error {
	return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, typeFlags<<16|int(id))
}
