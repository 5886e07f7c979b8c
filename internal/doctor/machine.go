package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"flowsensor/internal/capture"
	"flowsensor/internal/sensor"
	"flowsensor/internal/status"
)

// Machine is the one that this process runs on, in the network namespace of the calling thread.
type Machine struct {
	socket string // of the sensor that runs
	boot   uint64 // of the probes
}

// NewMachine gives the machine; socket is the status socket of its sensor.
func NewMachine(socket string) *Machine {
	return &Machine{socket: socket, boot: uint64(time.Now().UnixNano())}
}

// ReadFile implements Box.
func (m *Machine) ReadFile(path string) (string, error) {
	// What /proc/net shows is of the process; the thread may be in a namespace of its own.
	if rest, found := strings.CutPrefix(path, "/proc/net/"); found {
		path = "/proc/thread-self/net/" + rest
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// List implements Box.
func (m *Machine) List(path string) []string {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// Stat implements Box.
func (m *Machine) Stat(path string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	f := File{Mode: info.Mode()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.UID, f.GID = st.Uid, st.Gid
	}
	return f, nil
}

// Space implements Box.
func (m *Machine) Space(path string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Space{}, fmt.Errorf("space at %s: %w", path, err)
	}
	block := uint64(st.Bsize)
	return Space{Free: st.Bavail * block, Total: st.Blocks * block, FreeInodes: st.Ffree, AllInodes: st.Files}, nil
}

// Account implements Box.
func (m *Machine) Account(name string) (Account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return Account{}, err
	}
	uid, errU := strconv.ParseUint(u.Uid, 10, 32)
	gid, errG := strconv.ParseUint(u.Gid, 10, 32)
	return Account{UID: uint32(uid), GID: uint32(gid)}, errors.Join(errU, errG)
}

// Interfaces implements Box.
func (m *Machine) Interfaces() ([]capture.Interface, error) { return capture.Interfaces() }

// Memory implements Box.
func (m *Machine) Memory() (uint64, error) { return capture.AvailableMemory() }

// CPUs implements Box.
func (m *Machine) CPUs() int { return runtime.NumCPU() }

// Card implements Box.
func (m *Machine) Card(name string) (Card, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return Card{}, fmt.Errorf("interface %s: %w", name, err)
	}
	card := Card{Queues: link.Attrs().NumRxQueues}
	if s := link.Attrs().Statistics; s != nil {
		card.Received, card.Errors, card.Dropped, card.Missed, card.FIFO = s.RxPackets, s.RxErrors, s.RxDropped, s.RxMissedErrors, s.RxFifoErrors
		card.TooLong = s.RxLengthErrors
	}
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return card, fmt.Errorf("ask the driver of %s: %w", name, err)
	}
	defer tool.Close()
	// A driver answers what it knows, and virtual ones hardly anything: no answer is no error.
	if ch, err := tool.GetChannels(name); err == nil && ch.RxCount+ch.CombinedCount > 0 {
		card.Queues = int(ch.RxCount + ch.CombinedCount)
	}
	if ring, err := tool.GetRing(name); err == nil {
		card.RingSize, card.RingMax = ring.RxPending, ring.RxMaxPending
	}
	if stats, err := tool.Stats(name); err == nil {
		card.Stats = stats
	}
	return card, nil
}

// Kernel implements Box.
func (m *Machine) Kernel() (string, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "", fmt.Errorf("kernel release: %w", err)
	}
	return unix.ByteSliceToString(name.Release[:]), nil
}

// Clock implements Box.
func (m *Machine) Clock() (Clock, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Clock{}, fmt.Errorf("state of the clock: %w", err)
	}
	return Clock{
		Synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		MaxError:     time.Duration(t.Maxerror) * time.Microsecond,
	}, nil
}

// Program implements Box.
func (m *Machine) Program(name string) error {
	// Where the sensor looks for it: the unit's PATH is systemd's own.
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if info, err := os.Stat(dir + "/" + name); err == nil && info.Mode().Perm()&0o111 != 0 {
			return nil
		}
	}
	_, err := exec.LookPath(name)
	return err
}

// unitProperties are what the checks look at.
const unitProperties = "LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainStatus,NRestarts,AmbientCapabilities"

// Unit implements Box.
func (m *Machine) Unit(ctx context.Context, name string) (map[string]string, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return nil, ErrNoSystemd
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", "show", "-p", unitProperties, "--", name).Output()
	if err != nil {
		return nil, fmt.Errorf("systemctl show %s: %w", name, err)
	}
	all := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		all[key] = value
	}
	return all, nil
}

// Daemon implements Box.
func (m *Machine) Daemon(ctx context.Context) (*sensor.Snapshot, error) {
	client := status.NewClient(m.socket)
	defer client.Close()
	var s sensor.Snapshot
	if err := client.Get(ctx, sensor.StatusTarget, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// Wait implements Box.
func (m *Machine) Wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// nobodysProtocol is ETH_P_LOOP, which nobody sends: a socket of it joins a fanout group and receives nothing.
const nobodysProtocol = 0x0060

// Features implements Box. The sockets receive nothing and are gone when it returns.
func (m *Machine) Features() (f Features, err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return f, fmt.Errorf("open a packet socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	f.TPacketV3 = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3)
	f.VnetHeader = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	f.FanoutCBPF = joinFanout(fd)
	return f, nil
}

// joinFanout makes a group of one, on the loopback.
func joinFanout(fd int) error {
	loopback, err := net.InterfaceByName("lo")
	if err != nil {
		return err
	}
	const swapped = nobodysProtocol>>8 | nobodysProtocol&0xff<<8 // network order
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swapped, Ifindex: loopback.Index}); err != nil {
		return err
	}
	mode := unix.PACKET_FANOUT_CBPF | unix.PACKET_FANOUT_FLAG_UNIQUEID
	return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, mode<<16)
}
