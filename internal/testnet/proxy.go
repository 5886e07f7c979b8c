package testnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Faults are what a Proxy does to one direction. The probabilities are from 0 to 1 and drawn for each datagram; the
// n-th datagram of a direction meets the same fate under the same seed, whatever the others do.
type Faults struct {
	Loss      float64
	Duplicate float64
	Reorder   float64 // is sent right after the next one, or after 100 ms when there is none
	Delay     time.Duration
	Jitter    time.Duration // at most so much more delay, drawn evenly
}

// Counts are what a Proxy did to one direction. Received + Duplicated = Sent + Lost + Failed + what still waits.
type Counts struct {
	Received, Sent, Lost, Duplicated, Reordered uint64
	Failed                                      uint64 // not taken by the socket
}

// ProxyConfig says where a Proxy stands. Addresses are numeric, port 0 in Listen takes a free one.
type ProxyConfig struct {
	Host           *Host // nil: the caller's own namespace
	Listen, Target string
	Seed           uint64
	Forward, Back  Faults
}

// Proxy passes UDP datagrams on to a target, and the answers back, with faults. Each client is seen by the target under
// a port of its own. Who makes it closes it.
type Proxy struct {
	cfg           ProxyConfig
	listener      *net.UDPConn
	target        netip.AddrPort
	forward, back *lane
	readers       sync.WaitGroup
	lanes         sync.WaitGroup

	mu      sync.Mutex
	clients map[netip.AddrPort]*net.UDPConn // nil once closed
}

// maxClients bounds the sockets of a Proxy; datagrams of further clients are Failed.
const maxClients = 1024

// NewProxy starts a proxy.
func NewProxy(cfg ProxyConfig) (*Proxy, error) {
	p := &Proxy{cfg: cfg, clients: map[netip.AddrPort]*net.UDPConn{}}
	listen, err := netip.ParseAddrPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("proxy: listen: %w", err)
	}
	if p.target, err = netip.ParseAddrPort(cfg.Target); err != nil {
		return nil, fmt.Errorf("proxy: target: %w", err)
	}
	err = p.inside(func() (err error) {
		p.listener, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(listen))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p.forward, p.back = newLane(cfg.Seed, cfg.Forward), newLane(cfg.Seed+1, cfg.Back)
	p.lanes.Go(p.forward.run)
	p.lanes.Go(p.back.run)
	p.readers.Go(p.readClients)
	return p, nil
}

func (p *Proxy) inside(fn func() error) error {
	if p.cfg.Host == nil {
		return fn()
	}
	return p.cfg.Host.Do(fn)
}

// Addr is where clients send to.
func (p *Proxy) Addr() netip.AddrPort {
	local, _ := netip.ParseAddrPort(p.listener.LocalAddr().String())
	return local
}

// Forward is what was done to datagrams from clients to the target.
func (p *Proxy) Forward() Counts { return p.forward.snapshot() }

// Back is what was done to datagrams from the target to clients.
func (p *Proxy) Back() Counts { return p.back.snapshot() }

// SetFaults changes what the proxy does from now on; Loss 1 is a cut cable.
func (p *Proxy) SetFaults(forward, back Faults) {
	p.forward.set(forward)
	p.back.set(back)
}

// Close stops the proxy; datagrams that still wait are gone.
func (p *Proxy) Close() error {
	p.mu.Lock()
	clients := p.clients
	p.clients = nil
	p.mu.Unlock()
	if clients == nil {
		return nil
	}
	err := p.listener.Close()
	for _, conn := range clients {
		err = errors.Join(err, conn.Close())
	}
	p.readers.Wait()
	close(p.forward.in)
	close(p.back.in)
	p.lanes.Wait()
	return err
}

const maxDatagram = 1 << 16

func (p *Proxy) readClients() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := p.listener.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // what ICMP says of an earlier answer
		}
		d := datagram{data: append([]byte(nil), buf[:n]...)}
		if conn := p.client(from); conn != nil {
			d.send = func(b []byte) error { _, err := conn.Write(b); return err }
		}
		p.forward.in <- d
	}
}

// client gives the socket towards the target that stands for a client, nil where it cannot be had.
func (p *Proxy) client(from netip.AddrPort) *net.UDPConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if conn, ok := p.clients[from]; ok || p.clients == nil || len(p.clients) == maxClients {
		return conn
	}
	var conn *net.UDPConn
	err := p.inside(func() (err error) {
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.target))
		return err
	})
	if err != nil {
		return nil
	}
	p.clients[from] = conn
	p.readers.Go(func() { p.readTarget(conn, from) })
	return conn
}

func (p *Proxy) readTarget(conn *net.UDPConn, client netip.AddrPort) {
	send := func(b []byte) error { _, err := p.listener.WriteToUDPAddrPort(b, client); return err }
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the target's port was closed when the last datagram came
		}
		p.back.in <- datagram{data: append([]byte(nil), buf[:n]...), send: send}
	}
}
