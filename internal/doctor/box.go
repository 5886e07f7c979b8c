package doctor

import (
	"context"
	"io/fs"
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/seal"
	"flowsensor/internal/sensor"
)

// Box is the machine as the checks see it. Nothing of it changes anything.
type Box interface {
	// ReadFile gives a file below /proc or /sys.
	ReadFile(path string) (string, error)
	// List names what is in a folder, nothing where it is not there.
	List(path string) []string
	// Stat judges a file or folder, following links.
	Stat(path string) (File, error)
	// Space is what the file system of a path has left.
	Space(path string) (Space, error)
	// Account looks up a user of the system.
	Account(name string) (Account, error)
	// Interfaces lists the network interfaces, as the capture sees them.
	Interfaces() ([]capture.Interface, error)
	// Card asks an interface's driver and the kernel for its queues, its ring and its counts.
	Card(name string) (Card, error)
	// Memory is what is available, in octets.
	Memory() (uint64, error)
	// CPUs is how many cores this process may use.
	CPUs() int
	// Kernel is the kernel's release.
	Kernel() (string, error)
	// Features tries what a capture asks of a packet socket.
	Features() (Features, error)
	// Clock is the state of the kernel's clock.
	Clock() (Clock, error)
	// Program says whether a program is to be found.
	Program(name string) error
	// Unit gives properties of a systemd unit; ErrNoSystemd where there is no systemd to ask.
	Unit(ctx context.Context, name string) (map[string]string, error)
	// Daemon gives the figures of the running sensor.
	Daemon(ctx context.Context) (*sensor.Snapshot, error)
	// Probe asks a collector for its time.
	Probe(ctx context.Context, address, id string, key seal.Key) (Answer, error)
	// Wait lets time pass, for counts to grow.
	Wait(ctx context.Context, d time.Duration)
}

// File is what Stat says.
type File struct {
	Mode     fs.FileMode
	UID, GID uint32
}

// Space is what a file system has left for those who are not root.
type Space struct {
	Free, Total           uint64 // octets
	FreeInodes, AllInodes uint64 // both 0 where the file system has none to run out of
}

// Account is a user.
type Account struct {
	UID, GID uint32
}

// Card is what stands behind an interface. What a driver does not tell is zero.
type Card struct {
	Queues            int               // that receive
	RingSize, RingMax uint32            // of the card's receive ring, in descriptors
	Stats             map[string]uint64 // the driver's own counts
	Received          uint64
	Errors            uint64
	Dropped           uint64 // by the kernel or the driver
	Missed            uint64 // by the card: the host was too slow
	FIFO              uint64
	TooLong           uint64 // longer than the card is set to take
}

// Features is what a packet socket can do here.
type Features struct {
	TPacketV3, VnetHeader, FanoutCBPF error
}

// Clock is the state of the kernel's clock.
type Clock struct {
	Synchronised bool
	MaxError     time.Duration
}

// Answer is a collector's to a probe.
type Answer struct {
	From      string        // address
	Collector string        // its name, "" where it has none
	RoundTrip time.Duration // of the probe
	// Offset is our clock minus the collector's, taken in the middle of the way there and back.
	Offset time.Duration
	// Refused says that the collector takes nothing from us, for the clock's difference.
	Refused bool
}
