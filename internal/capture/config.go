package capture

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"time"

	"flowsensor/internal/setting"
)

// Defaults of Config. Many small blocks beat few large ones: the kernel retires a block by time even when nearly empty,
// so at a low rate a ring holds its number of blocks times the block timeout: 20 s here.
const (
	DefaultRingSize     = 64 << 20
	DefaultBlockSize    = 64 << 10
	DefaultBlockTimeout = 20 * time.Millisecond
	// DefaultSnapLength covers three VLAN tags, an MPLS stack, PPPoE, IPv6 with extension headers and TCP, and one
	// tunnel around them. A frame of it takes 352 octets of the ring.
	DefaultSnapLength = 256
)

// Limits of Config.
const (
	maxWorkers = 256
	minBlocks  = 2
	// MaxRingSize: the kernel counts a ring's octets and frames in 32 bits (packet_set_ring in net/packet/af_packet.c).
	MaxRingSize     = 1<<32 - 1
	maxBlockTimeout = time.Second
	minSnapLength   = 64
	maxSnapLength   = 256 << 10
	// MaxSample keeps the sampled share within a quarter of a thousandth of 1/Sample: the kernel draws 32 bits.
	MaxSample = 1_000_000
	// frameSize only has to divide the block size: TPACKET_V3 packs frames of any length up to a block's. OptFrameSize 0
	// would divide by zero in gopacket.
	frameSize = 2048
	// pollWait is how long a reader waits for a block at most. In whole milliseconds: gopacket's OptPollTimeout cuts
	// less than one to 0, a busy loop, and -1 ns too.
	pollWait = 100 * time.Millisecond
)

// Config says what to capture. The zero value of every field but Interface is the default.
type Config struct {
	Interface string
	Workers   int // rings; 0 is 1
	// RingSize is the size of one worker's ring in octets, a multiple of BlockSize.
	RingSize int
	// BlockSize is what the kernel hands over at once: a power of two and a multiple of the page size. What is longer
	// than a block is cut to it.
	BlockSize int
	// BlockTimeout is after how long the kernel hands over a block that is not full, in whole milliseconds.
	BlockTimeout time.Duration
	// SnapLength is how many octets of each frame are captured, from the link-layer header on.
	SnapLength int
	// FullPorts are captured whole where they are the source port of a TCP or UDP packet.
	FullPorts []uint16
	// Filter is a tcpdump expression; empty takes all. See Compile.
	Filter string
	// Sample takes one packet in so many, by chance, in the kernel filter; 0 and 1 take all. What it leaves out is in no
	// count.
	Sample      int
	Promiscuous Promiscuity
	Fanout      FanoutMode
	// Exclude is the sensor's own traffic, which must not become flows.
	Exclude []Exclusion
	Engine  Engine
}

// Exclusion is one UDP conversation that is not captured, in either direction. The remote address and port must be given;
// the local address may be unspecified and the local port 0: then any matches.
type Exclusion struct {
	Local, Remote netip.AddrPort
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	c.Workers = cmp.Or(c.Workers, 1)
	c.RingSize = cmp.Or(c.RingSize, DefaultRingSize)
	c.BlockSize = cmp.Or(c.BlockSize, DefaultBlockSize)
	c.BlockTimeout = cmp.Or(c.BlockTimeout, DefaultBlockTimeout)
	c.SnapLength = cmp.Or(c.SnapLength, DefaultSnapLength)
	c.Sample = cmp.Or(c.Sample, 1)
	c.Engine = cmp.Or(c.Engine, EngineRing)
	return c
}

// Validate says what is wrong with the configuration, by a setting.KeyError with the key of the configuration file; it looks at no
// interface.
func (c Config) Validate() error {
	c = c.withDefaults()
	page := os.Getpagesize()
	ms := c.BlockTimeout.Milliseconds()
	switch {
	case c.Interface == "":
		// An empty name would bind to ifindex 0, which taps every device, loopback twice.
		return errors.New("interface: missing")
	case c.Workers < 1 || c.Workers > maxWorkers:
		return setting.Errorf("workers", "%d is not within 1..%d", c.Workers, maxWorkers)
	case c.BlockSize < page || bits.OnesCount(uint(c.BlockSize)) != 1:
		return setting.Errorf("block_size", "%d is not a power of two of at least one page (%d)", c.BlockSize, page)
	case c.RingSize < minBlocks*c.BlockSize || c.RingSize%c.BlockSize != 0 || int64(c.RingSize) > MaxRingSize:
		return setting.Errorf("ring_size", "%d is not a multiple of block_size (%d) of at least %d blocks and under 4 GiB",
			c.RingSize, c.BlockSize, minBlocks)
	case c.BlockTimeout != time.Duration(ms)*time.Millisecond || ms < 1 || c.BlockTimeout > maxBlockTimeout:
		return setting.Errorf("block_timeout", "%v is not whole milliseconds within 1ms..%v", c.BlockTimeout, maxBlockTimeout)
	case c.SnapLength < minSnapLength || c.SnapLength > maxSnapLength:
		return setting.Errorf("snap_length", "%d is not within %d..%d", c.SnapLength, minSnapLength, maxSnapLength)
	case c.Sample < 1 || c.Sample > MaxSample:
		return setting.Errorf("sample", "%d is not within 1..%d", c.Sample, MaxSample)
	case c.Promiscuous > PromiscuousOff:
		return setting.Errorf("promiscuous", "%d is unknown", c.Promiscuous)
	case c.Fanout > FanoutQueue:
		return setting.Errorf("fanout", "%d is unknown", c.Fanout)
	case !c.Engine.Available():
		return setting.Errorf("engine", "%s is not part of this build", c.Engine)
	}
	for _, e := range c.Exclude {
		if err := e.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (e Exclusion) validate() error {
	local, remote := e.Local.Addr().Unmap(), e.Remote.Addr().Unmap()
	switch {
	case !remote.IsValid() || remote.IsUnspecified() || e.Remote.Port() == 0:
		return fmt.Errorf("exclusion of %s: the remote address and port must be given", e.Remote)
	case local.IsValid() && !local.IsUnspecified() && local.Is4() != remote.Is4():
		return fmt.Errorf("exclusion of %s: the local address %s is of the other IP version", e.Remote, e.Local)
	}
	return nil
}

// blocks is the number of blocks of a ring.
func (c Config) blocks() int { return c.RingSize / c.BlockSize }
