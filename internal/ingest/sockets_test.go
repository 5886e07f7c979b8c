package ingest_test

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
)

// Sockets opened elsewhere are taken as they are, one for both families among them: IPv4 prefixes hold there too.
func TestPassedSockets(t *testing.T) {
	needIPv6(t)
	dual, err := net.ListenPacket("udp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	edge, other := newAgent(t, "edge-1"), newAgent(t, "core-1")
	c := start(t, ingest.Config{Conns: []net.PacketConn{dual}}, edge.sensor("127.0.0.1/32"), other.sensor("::1/128"))
	port := c.Addrs()[0].Port()
	conn4 := dial(t, netip.AddrPortFrom(loopback4, port))
	conn6 := dial(t, netip.AddrPortFrom(loopback6, port))
	send(t, conn4, edge.flows(record(1)), other.flows(record(1)))
	send(t, conn6, edge.flows(record(1)), other.flows(record(1)))
	st := c.settle(4)
	if st.Outcomes[ingest.ReasonAccepted] != 2 || st.Outcomes[ingest.ReasonAddress] != 2 {
		t.Errorf("%s", named(st.Outcomes))
	}
	if a, b := c.sensor(edge.id), c.sensor(other.id); a.Datagrams != 1 || b.Datagrams != 1 || b.Missing != 0 {
		t.Errorf("sensors %+v, %+v", a, b)
	}
	if len(st.Sockets) != 1 || st.Sockets[0].BufferGot == 0 || st.Sockets[0].Unstamped != 0 {
		t.Errorf("sockets %+v", st.Sockets)
	}
}

// systemd gives a passed socket a larger buffer than an unprivileged process may ask for: it must not be cut down.
func TestPassedSocketKeepsItsBuffer(t *testing.T) {
	for asked, want := range map[int]int{64 << 10: 128 << 10, 192 << 10: 192 << 10} {
		passed, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback4, 0)))
		if err != nil {
			t.Fatal(err)
		}
		if err := passed.SetReadBuffer(128 << 10); err != nil {
			t.Fatal(err)
		}
		c := listen(t, ingest.Config{Conns: []net.PacketConn{passed}, ReceiveBuffer: asked})
		if got := c.Stats().Sockets[0].BufferGot; got != want {
			t.Errorf("asked for %d: %d, want %d", asked, got, want)
		}
	}
}

func TestListenRefuses(t *testing.T) {
	tcp, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := []netip.AddrPort{netip.AddrPortFrom(loopback4, 0)}
	for name, cfg := range map[string]ingest.Config{
		"no address":          {},
		"negative processors": {Listen: listen, Processors: -1},
		"negative buffer":     {Listen: listen, ReceiveBuffer: -1},
		"datagram too short":  {Listen: listen, MaxDatagram: 100},
		"datagram too long":   {Listen: listen, MaxDatagram: 65536},
		"collector's name":    {Listen: listen, ID: "a b"},
	} {
		if _, err := ingest.Listen(cfg, opener(t), new(logBuffer).logger()); !errors.Is(err, ingest.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Sockets of another sort are refused by name, and what was passed is closed.
	_, err = ingest.Listen(ingest.Config{Conns: []net.PacketConn{udp, tcp, nil}}, opener(t), new(logBuffer).logger())
	if err == nil || !strings.Contains(err.Error(), "*net.UnixConn") {
		t.Errorf("Unix socket: %v", err)
	}
	for _, c := range []net.PacketConn{udp, tcp} {
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%T was left open", c)
		}
	}
	if _, err := ingest.Listen(ingest.Config{Conns: []net.PacketConn{nil}}, opener(t), new(logBuffer).logger()); err == nil {
		t.Error("nil socket was taken")
	}
}

// A second collector under the same user must not take half of the datagrams in silence.
func TestAddressIsExclusive(t *testing.T) {
	c := listen(t, ingest.Config{Processors: 2})
	_, err := ingest.Listen(ingest.Config{Processors: 2, Listen: c.Addrs()[:1]}, opener(t), new(logBuffer).logger())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), c.Addrs()[0].String()) {
		t.Errorf("second collector: %v", err)
	}
}

// The kernel spreads senders over the sockets, the first of them (bound without SO_REUSEPORT) included, and keeps each
// sender on one.
func TestSendersAreSpread(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{Processors: 3}, edge.sensor())
	const senders, each = 60, 5
	for range senders {
		conn := c.dial()
		for range each {
			send(t, conn, edge.flows(record(1)))
		}
	}
	st := c.settle(senders * each)
	for _, s := range st.Sockets {
		if s.Datagrams == 0 || s.Datagrams%each != 0 {
			t.Errorf("socket read %d datagrams of %d senders that sent %d each", s.Datagrams, senders, each)
		}
	}
	if st.Outcomes[ingest.ReasonAccepted] != senders*each {
		t.Errorf("%s", named(st.Outcomes))
	}
}

// Datagrams of one sensor on all sockets at once: each batch is handed on once, and none is lost.
func TestSocketsShareASensor(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{Processors: 2}, edge.sensor())
	conns := make([]net.Conn, 8)
	for i := range conns {
		conns[i] = c.dial()
	}
	const batches = 400
	sent := uint64(0)
	for i := range batches {
		first := edge.flows(record(i))
		again := edge.resend(record(i))
		for j, d := range [][]byte{first, again, first, again} {
			send(t, conns[(i+3*j)%len(conns)], d)
			sent++
		}
		if sent%200 == 0 {
			c.settle(sent) // so that the receive buffers cannot overflow
		}
	}
	st := c.settle(sent)
	if st.Outcomes[ingest.ReasonAccepted] != batches || st.Outcomes[ingest.ReasonDuplicate] != batches ||
		st.Outcomes[ingest.ReasonReplayed] != 2*batches {
		t.Errorf("%s", named(st.Outcomes))
	}
	if s := c.sensor("edge-1"); s.Missing != 0 || s.Accepted != st.Accepted {
		t.Errorf("sensor counted %+v", s)
	}
	seen := map[uint64]bool{}
	for _, b := range c.batches() {
		if seen[b.Seq] {
			t.Errorf("batch %d was handed on twice", b.Seq)
		}
		seen[b.Seq] = true
	}
}

// What the kernel drops while a processor stalls is counted.
func TestKernelDropsAreCounted(t *testing.T) {
	edge := newAgent(t, "edge-1")
	c := listen(t, ingest.Config{Processors: 1, ReceiveBuffer: 8 << 10}, edge.sensor())
	stalled, stall := make(chan struct{}), make(chan struct{})
	first := true
	c.verdict = func(*flow.Batch) ingest.Verdict {
		if first {
			first = false
			close(stalled)
			<-stall
		}
		return ingest.Accepted
	}
	c.run()
	conn := c.dial()
	send(t, conn, edge.flows(record(1)))
	<-stalled
	sent := uint64(1)
	for range 200 {
		send(t, conn, edge.flows(record(1)))
		sent++
	}
	close(stall)
	drops := c.account(sent, conn)
	if drops == 0 {
		t.Error("200 datagrams fitted into 8 KiB")
	}
	send(t, conn, edge.flows(record(1)))
	eventually(t, func() bool { return c.sensor("edge-1").Missing == drops })
}

// The receive buffer is read back; what the kernel did not grant is said, with the remedy.
func TestReceiveBufferIsReported(t *testing.T) {
	const asked = 1<<31 - 1 // twice what the kernel gives even to root
	c := listen(t, ingest.Config{Processors: 1, ReceiveBuffer: asked})
	sock := c.Stats().Sockets[0]
	if sock.BufferAsked != asked || sock.BufferGot <= 0 || sock.BufferGot >= asked {
		t.Errorf("asked %d, got %d", sock.BufferAsked, sock.BufferGot)
	}
	if len(c.logs.lines("level=WARN", "net.core.rmem_max", "got_bytes="+strconv.Itoa(sock.BufferGot))) != 1 {
		t.Errorf("log says\n%s", c.logs)
	}
	c = listen(t, ingest.Config{Processors: 3, ReceiveBuffer: 64 << 10})
	if len(c.logs.lines("listening", "sockets=3")) != 1 || len(c.logs.lines("listening")) != 1 {
		t.Errorf("want one line for the three sockets of an address: log says\n%s", c.logs)
	}
	if sock := c.Stats().Sockets[0]; sock.BufferGot != 64<<10 {
		t.Errorf("asked for 64 KiB, got %d", sock.BufferGot)
	}
	if len(c.logs.lines("level=WARN")) != 0 {
		t.Errorf("log says\n%s", c.logs)
	}
}
