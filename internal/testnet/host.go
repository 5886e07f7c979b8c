package testnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is one network namespace with its loopback up and, once it is wired, one Ethernet interface.
type Host struct {
	// Name is unique on this machine: it holds the process id.
	Name string
	// Interface is the name of its Ethernet interface, inside the namespace.
	Interface string
	// MAC, IPv4 and IPv6 are the interface's addresses; a mirror's receiving end has no IP address.
	MAC  net.HardwareAddr
	IPv4 netip.Addr
	IPv6 netip.Addr

	noise  Noise
	peer   *Host // who it talks to, if anyone: a fixed neighbour
	far    end   // the other end of its cable
	ns     netns.NsHandle
	handle *netlink.Handle
}

// end is one end of a cable.
type end struct {
	host   *Host
	device string
}

var hosts atomic.Uint64

// newHost makes a namespace and sets what devices in it start with.
func newHost(role string, noise Noise) (*Host, error) {
	h := &Host{Name: fmt.Sprintf("fs%d-%d-%s", os.Getpid(), hosts.Add(1), role), noise: noise, ns: netns.None()}
	err := onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		if h.ns, err = netns.Get(); err != nil {
			return fmt.Errorf("open the network namespace: %w", err)
		}
		return quieten(noise)
	})
	if err == nil {
		h.handle, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	}
	if err == nil {
		err = h.setUp("lo")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("host %s: %w", h.Name, err), h.close())
	}
	return h, nil
}

// Do runs fn on an operating system thread inside the namespace. Sockets that fn opens stay in the namespace; goroutines
// that it starts do not run there.
func (h *Host) Do(fn func() error) error {
	return onThread(func() error {
		if err := netns.Set(h.ns); err != nil {
			return fmt.Errorf("enter %s: %w", h.Name, err)
		}
		return fn()
	})
}

var errGoexit = errors.New("the function ended its goroutine")

// onThread runs fn on a thread of its own and puts the thread's namespace back. Where that fails, the thread is not
// given back: it ends with its goroutine.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errGoexit // stays when fn calls runtime.Goexit, as t.FailNow does
		defer func() { done <- err }()
		runtime.LockOSThread()
		home, getErr := netns.Get()
		if getErr != nil {
			err = getErr
			return
		}
		defer func() {
			if netns.Set(home) == nil {
				runtime.UnlockOSThread()
			}
			err = errors.Join(err, home.Close())
		}()
		err = fn()
	}()
	return <-done
}

// marker is in the environment of every program started inside, with the owner's process id and start time, so that
// Sweep finds those whose owner is gone.
const marker = "FLOWSENSOR_TESTNET"

// Command is exec.CommandContext inside the namespace. /sys shows the outer devices; /proc/net and netlink are right.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(name)
	enter := "--net=/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(h.ns))
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{enter, "--", path}, args...)...)
	cmd.Env = append(os.Environ(), marker+"="+owner())
	cmd.WaitDelay = 5 * time.Second
	if err != nil {
		cmd.Err = err
	}
	return cmd
}

// Listen is net.Listen inside the namespace.
func (h *Host) Listen(network, address string) (l net.Listener, err error) {
	err = h.Do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// ListenPacket is net.ListenPacket inside the namespace.
func (h *Host) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = h.Do(func() (err error) {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

// Dial is net.Dialer.DialContext inside the namespace. The address must be numeric: a name would be looked up, and one of
// two addresses tried, on another thread.
func (h *Host) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, err
	}
	err = h.Do(func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// close ends what still runs inside and lets the namespace go; the kernel removes its devices with it.
func (h *Host) close() error {
	if h == nil || !h.ns.IsOpen() {
		return nil
	}
	left := h.endPrograms()
	if h.handle != nil {
		h.handle.Close()
	}
	return errors.Join(left, h.ns.Close())
}

// endPrograms kills the programs inside and says which there were: who starts one should end it.
func (h *Host) endPrograms() error {
	var want unix.Stat_t
	if err := unix.Fstat(int(h.ns), &want); err != nil {
		return fmt.Errorf("stat the namespace of %s: %w", h.Name, err)
	}
	var errs []error
	for _, pid := range slices.DeleteFunc(processes(), func(pid int) bool { return pid == os.Getpid() }) {
		var ns unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &ns) != nil || ns.Ino != want.Ino || ns.Dev != want.Dev {
			continue
		}
		errs = append(errs, fmt.Errorf("process %d (%s) was left in %s: killed", pid, commandName(pid), h.Name), kill(pid))
	}
	return errors.Join(errs...)
}
