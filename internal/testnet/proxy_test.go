package testnet_test

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/testnet"
)

// through sends n numbered datagrams through a proxy and gives the numbers in the order in which they came out.
func through(t *testing.T, cfg testnet.ProxyConfig, n int) ([]uint16, testnet.Counts) {
	t.Helper()
	target, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = target.Close() }()
	cfg.Listen, cfg.Target = "127.0.0.1:0", target.LocalAddr().String()
	proxy, err := testnet.NewProxy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("udp", proxy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	go func() {
		for i := range n {
			if _, err := client.Write(binary.BigEndian.AppendUint16(nil, uint16(i))); err != nil {
				t.Error(err)
			}
			await(t, func() bool { return proxy.Forward().Received > uint64(i) }) // one by one, whatever the load
		}
	}()
	order := echo(t, target, proxy, n)
	await(t, func() bool { return proxy.Back().Received == uint64(len(order)) })
	counts, answers := proxy.Forward(), proxy.Back()
	if err := errors.Join(proxy.Close(), proxy.Close()); err != nil {
		t.Error(err)
	}
	if answers.Received != counts.Sent {
		t.Errorf("%d datagrams reached the target and %d answers the proxy", counts.Sent, answers.Received)
	}
	return order, counts
}

// echo sends back what comes through until all n datagrams are accounted for, and gives their numbers in order.
func echo(t *testing.T, target net.PacketConn, proxy *testnet.Proxy, n int) (order []uint16) {
	t.Helper()
	buf := make([]byte, 16)
	settled := func() bool {
		c := proxy.Forward()
		return c.Received == uint64(n) && c.Received+c.Duplicated == c.Sent+c.Lost && uint64(len(order)) == c.Sent
	}
	for start := time.Now(); !settled() && time.Since(start) < 20*time.Second; {
		_ = target.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		size, from, err := target.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil || size != 2 {
			t.Fatal(size, err)
		}
		order = append(order, binary.BigEndian.Uint16(buf))
		if _, err := target.WriteTo(buf[:size], from); err != nil {
			t.Fatal(err)
		}
	}
	return order
}

// await waits until something has happened, at most 20 s.
func await(t *testing.T, happened func() bool) {
	t.Helper()
	for start := time.Now(); !happened(); time.Sleep(50 * time.Microsecond) {
		if time.Since(start) > 20*time.Second {
			t.Error("it does not happen")
			return
		}
	}
}

func TestProxyDoesWhatItCounts(t *testing.T) {
	defer goleak.VerifyNone(t)
	const n = 400
	cfg := testnet.ProxyConfig{Seed: 7, Forward: testnet.Faults{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1}}
	order, counts := through(t, cfg, n)
	want := uint64(len(order))
	if counts.Received != n || counts.Sent != want || counts.Received+counts.Duplicated != counts.Sent+counts.Lost || counts.Failed != 0 {
		t.Errorf("%+v, but %d came", counts, want)
	}
	for what, got := range map[string]uint64{"lost": counts.Lost, "duplicated": counts.Duplicated, "reordered": counts.Reordered} {
		if got < n/20 || got > n/5 {
			t.Errorf("%d of %d %s, at a probability of 0.1", got, n, what)
		}
	}
	times := map[uint16]int{}
	backwards := uint64(0)
	for i, number := range order {
		times[number]++
		if i > 0 && number < order[i-1] {
			backwards++
		}
	}
	twice := uint64(0)
	for _, c := range times {
		if c == 2 {
			twice++
		}
	}
	if uint64(len(times)) != n-counts.Lost || twice != counts.Duplicated || backwards == 0 || backwards > counts.Reordered {
		t.Errorf("%d distinct, %d twice, %d backwards: %+v", len(times), twice, backwards, counts)
	}

	if again, _ := through(t, cfg, n); !slices.Equal(order, again) {
		t.Error("the same seed made another order")
	}
	cfg.Seed++
	if other, _ := through(t, cfg, n); slices.Equal(order, other) {
		t.Error("another seed made the same order")
	}
}

func TestProxyDelays(t *testing.T) {
	start := time.Now()
	order, _ := through(t, testnet.ProxyConfig{Forward: testnet.Faults{Delay: 200 * time.Millisecond, Reorder: 1}}, 3)
	// The first is overtaken by the second; the third finds nobody to overtake it.
	if !slices.Equal(order, []uint16{1, 0, 2}) || time.Since(start) < 200*time.Millisecond {
		t.Errorf("%v after %v", order, time.Since(start))
	}
}

func TestProxyCutAndNobodyListens(t *testing.T) {
	defer goleak.VerifyNone(t)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	proxy, err := testnet.NewProxy(testnet.ProxyConfig{Listen: "127.0.0.1:0", Target: closed.LocalAddr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = proxy.Close() }()
	client, err := net.Dial("udp", proxy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	write := func(times, received uint64) {
		for range times {
			for { // a write may give back what ICMP says of the one before
				if _, err := client.Write([]byte("x")); err == nil {
					break
				}
			}
		}
		await(t, func() bool {
			c := proxy.Forward()
			return c.Received == received && c.Sent+c.Lost+c.Failed == received
		})
	}
	write(5, 5)
	if c := proxy.Forward(); c.Received != 5 || c.Sent+c.Failed != 5 {
		t.Errorf("to a closed port: %+v", c)
	}
	proxy.SetFaults(testnet.Faults{Loss: 1}, testnet.Faults{})
	write(5, 10)
	if c := proxy.Forward(); c.Received != 10 || c.Lost != 5 {
		t.Errorf("with the cable cut: %+v", c)
	}
	if _, err := testnet.NewProxy(testnet.ProxyConfig{Listen: "localhost:0", Target: "127.0.0.1:1"}); err == nil {
		t.Error("a name was taken for an address")
	}
}

func TestProxyStandsInANamespace(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{})
	target, err := l.Capture.ListenPacket("udp", net.JoinHostPort(l.Capture.IPv6.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = target.Close() }()
	proxy, err := testnet.NewProxy(testnet.ProxyConfig{Host: l.Generator, Listen: "127.0.0.1:0", Target: target.LocalAddr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = proxy.Close() }()
	client, err := l.Generator.Dial(t.Context(), "udp", proxy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	_ = target.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, _, err := target.ReadFrom(buf); err != nil || string(buf[:n]) != "hello" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}
