package capture

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// What both engines ask of their socket is here, by its descriptor: gopacket has no call for half of it, gives no errno
// for the rest, and its SetBPF panics on an empty program. Who calls makes sure that the descriptor is open.

// setFilter swaps the socket's filter. The kernel does it at one stroke, but a packet that is being delivered may still
// have met the old one: see quiesce.
func setFilter(fd int, prog []bpf.RawInstruction) error {
	if err := setProgram(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, prog); err != nil {
		return fmt.Errorf("set the filter: %w", err)
	}
	return nil
}

// setProgram sets a socket option that is a program.
func setProgram(fd, level, option int, prog []bpf.RawInstruction) error {
	if len(prog) == 0 || len(prog) > maxInstructions {
		return fmt.Errorf("%d instructions", len(prog))
	}
	raw := make([]unix.SockFilter, len(prog))
	for i, ins := range prog {
		raw[i] = unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	return unix.SetsockoptSockFprog(fd, level, option, &unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]})
}

// kernelCounts is what the kernel counted for a socket since it was last asked: asking sets it to zero. Placed is without
// the drops, which tp_packets includes (packet_getsockopt in net/packet/af_packet.c). 32 bits are enough for a second.
type kernelCounts struct {
	placed, dropped, freezes uint32
}

func takeCounts(fd int) (kernelCounts, error) {
	s, err := unix.GetsockoptTpacketStatsV3(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return kernelCounts{}, fmt.Errorf("read the ring's statistics: %w", err)
	}
	return kernelCounts{placed: s.Packets - s.Drops, dropped: s.Drops, freezes: s.Freeze_q_cnt}, nil
}

// takeError gives and clears the socket's pending error. Until that is read (ENETDOWN after the interface went down),
// every poll returns at once, even when the interface is up again.
func takeError(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("read the socket's error: %w", err)
	}
	if n != 0 {
		return unix.Errno(n)
	}
	return nil
}

// boundTo gives the index of the interface that the socket is bound to. The kernel sets it to -1 when the interface is
// unregistered, by deletion or by a move to another namespace, and no interface of that name or even index that comes
// later makes the socket alive again (packet_notifier in net/packet/af_packet.c).
func boundTo(fd int) (int, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, fmt.Errorf("read the socket's interface: %w", err)
	}
	ll, ok := sa.(*unix.SockaddrLinklayer)
	if !ok {
		return 0, errors.New("read the socket's interface: not a packet socket")
	}
	return int(int32(ll.Ifindex)), nil
}

// quiesce returns when no packet is on its way any more that met a filter or a binding from before the call: deliveries
// are RCU read sections, and MEMBARRIER_CMD_GLOBAL waits for a grace period of them (kernel/sched/membarrier.c).
func quiesce() {
	const membarrierGlobal = 1
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno != 0 {
		<-time.After(quiesceTime) // a kernel without it, or one with nohz_full CPUs
	}
}

// quiesceTime is far longer than a packet's way through the kernel takes.
const quiesceTime = 50 * time.Millisecond

// wait polls for a block, at most pollWait. It is false when there is none; an error is the socket's own, and cleared.
func wait(fd int) (bool, error) {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds[:], int(pollWait/time.Millisecond))
	switch {
	case err != nil && !errors.Is(err, unix.EINTR):
		return false, fmt.Errorf("poll: %w", err)
	case err != nil || n == 0:
		return false, nil
	case fds[0].Revents&unix.POLLERR != 0:
		return false, errLink
	case fds[0].Revents&unix.POLLNVAL != 0:
		return false, os.ErrClosed
	default:
		return true, nil
	}
}

// nap sleeps, or a little less where a signal comes, as the runtime's own do. Frames do not end it. It is a raw system call,
// which Go's scheduler does not know of: around any other it would hand the processor to another thread after 20 us and look
// for more of the kind every 20 us (sysmon in runtime/proc.go), which cost more than the reading. A collection that has to stop the
// world ends it by its signal.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0) // EINTR is an early end
}

// errLink says that the socket has a pending error: the interface went down or away.
var errLink = errors.New("the link failed")

// checkPrivilege opens a packet socket that receives nothing: without the right to, all that follows fails, tcpdump with
// words that do not say why.
func checkPrivilege() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", explain(err))
	}
	return unix.Close(fd)
}

// explain adds what to do to an error of opening a socket.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: capturing needs CAP_NET_RAW: run it by its systemd unit, as root, or after 'setcap cap_net_raw+ep %s'",
			err, executable())
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%w: make ring_size or workers smaller", err)
	default:
		return err
	}
}

func executable() string {
	path, err := os.Executable()
	if err != nil {
		return "the program"
	}
	return path
}
