package capture

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Promiscuity says whether the interface is to take frames that are for others.
type Promiscuity uint8

// What Promiscuity can be. The names in a configuration are "on" and "off".
const (
	PromiscuousOn Promiscuity = iota // a mirror port needs it
	PromiscuousOff
)

var promiscuityNames = []string{"on", "off"}

func (p Promiscuity) String() string { return enumText(promiscuityNames, p) }

// MarshalText gives the name.
func (p Promiscuity) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText takes the name.
func (p *Promiscuity) UnmarshalText(text []byte) (err error) {
	*p, err = parseEnum[Promiscuity](promiscuityNames, text)
	return err
}

// FanoutMode says how the kernel shares an interface's frames among the workers. Flow records of one key add up, so every
// mode is right; they differ in how many records a flow becomes. There is no rollover mode (it would move packets of a
// flow between workers under pressure) and no defragmentation (it changes what was on the wire).
type FanoutMode uint8

// The fanout modes. The names in a configuration are "flow", "hash", "cpu" and "qm".
const (
	// FanoutFlow goes by the flow's addresses and ports: both directions meet one worker, and all fragments of an address
	// pair do. It looks behind VLAN tags, MPLS and PPPoE.
	FanoutFlow  FanoutMode = iota
	FanoutHash             // by the kernel's flow hash, which knows nothing behind MPLS
	FanoutCPU              // by the CPU that received the packet
	FanoutQueue            // by the receive queue of the card
)

var fanoutNames = []string{"flow", "hash", "cpu", "qm"}

func (f FanoutMode) String() string { return enumText(fanoutNames, f) }

// MarshalText gives the name.
func (f FanoutMode) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText takes the name.
func (f *FanoutMode) UnmarshalText(text []byte) (err error) {
	*f, err = parseEnum[FanoutMode](fanoutNames, text)
	return err
}

// kernel gives the mode as PACKET_FANOUT has it.
func (f FanoutMode) kernel() int {
	return [...]int{
		FanoutFlow: unix.PACKET_FANOUT_CBPF, FanoutHash: unix.PACKET_FANOUT_HASH, FanoutCPU: unix.PACKET_FANOUT_CPU,
		FanoutQueue: unix.PACKET_FANOUT_QM,
	}[f]
}

// Engine is an implementation that reads a ring.
type Engine uint8

// The engines. The names in a configuration are "afpacket" and "ring"; the zero value is "ring".
const (
	_              Engine = iota
	EngineAFPacket        // github.com/google/gopacket/afpacket; in builds with cgo
	EngineRing            // a block walker of our own on a github.com/mdlayher/packet socket
)

var engineNames = []string{"default", "afpacket", "ring"}

func (e Engine) String() string { return enumText(engineNames, e) }

// MarshalText gives the name.
func (e Engine) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText takes the name.
func (e *Engine) UnmarshalText(text []byte) (err error) {
	*e, err = parseEnum[Engine](engineNames, text)
	return err
}

func enumText[T ~uint8](names []string, value T) string {
	if int(value) < len(names) {
		return names[value]
	}
	return fmt.Sprintf("unknown(%d)", uint8(value))
}

func parseEnum[T ~uint8](names []string, text []byte) (T, error) {
	i := slices.Index(names, string(text))
	if i < 0 {
		return 0, fmt.Errorf("%q is none of %s", text, strings.Join(names, ", "))
	}
	return T(i), nil
}
