package capture

import (
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Switch is the state of a feature that may be unknown.
type Switch uint8

// What a Switch can be.
const (
	Unknown Switch = iota // the driver does not say
	Off
	On
)

var switchNames = []string{"unknown", "off", "on"}

func (s Switch) String() string { return enumText(switchNames, s) }

// Offloads says which merging of packets an interface does. GRO and LRO merge received segments before AF_PACKET sees
// them, so that packet counts and header bytes are those of merged packets; TSO does it for what this machine sends,
// which a veth pair or a loopback passes on as it is.
type Offloads struct {
	GRO, LRO, TSO Switch
}

// Merging reports whether received packets may have been merged.
func (o Offloads) Merging() bool { return o.GRO == On || o.LRO == On }

// Remedy is the command that switches the merging off, "" where there is none to switch off.
func (o Offloads) Remedy(name string) string {
	var args strings.Builder
	for _, f := range []struct {
		name  string
		state Switch
	}{{"gro", o.GRO}, {"lro", o.LRO}} {
		if f.state == On {
			args.WriteString(" " + f.name + " off")
		}
	}
	if args.Len() == 0 {
		return ""
	}
	return "ethtool -K " + name + args.String()
}

// ethFlagLRO is ETH_FLAG_LRO of linux/ethtool.h.
const ethFlagLRO = 1 << 15

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct {
	cmd, data uint32
}

// ifreqData is struct ifreq of linux/if.h with a pointer in its union.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

// ethtool asks drivers by SIOCETHTOOL, in the network namespace it was opened in. The commands used need no capability.
type ethtool struct {
	fd int
}

func openEthtool() (*ethtool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket for ethtool: %w", err)
	}
	return &ethtool{fd: fd}, nil
}

func (e *ethtool) close() error { return unix.Close(e.fd) }

// offloads gives what the driver says; what it does not know stays Unknown.
func (e *ethtool) offloads(name string) Offloads {
	flags, lro := e.get(name, unix.ETHTOOL_GFLAGS)
	if lro == On && flags&ethFlagLRO == 0 {
		lro = Off
	}
	return Offloads{GRO: e.flag(name, unix.ETHTOOL_GGRO), LRO: lro, TSO: e.flag(name, unix.ETHTOOL_GTSO)}
}

// flag is a feature with a command of its own.
func (e *ethtool) flag(name string, cmd uint32) Switch {
	value, known := e.get(name, cmd)
	if known == On && value == 0 {
		return Off
	}
	return known
}

// get is Unknown where the driver has no answer, else On.
func (e *ethtool) get(name string, cmd uint32) (uint32, Switch) {
	value := ethtoolValue{cmd: cmd}
	req := ifreqData{data: unsafe.Pointer(&value)}
	if len(name) >= len(req.name) {
		return 0, Unknown
	}
	copy(req.name[:], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(e.fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(&value)
	if errno != 0 {
		return 0, Unknown
	}
	return value.data, On
}

// driver names the interface's driver, "" where there is none.
func (e *ethtool) driver(name string) string {
	info, err := unix.IoctlGetEthtoolDrvinfo(e.fd, name)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}
