package testnet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"flowsensor/internal/testnet"
)

// receiver reads every frame of a host's interface; its buffer holds what the tests send at once.
type receiver struct {
	conn *packet.Conn
}

func receive(t *testing.T, h *testnet.Host) *receiver {
	t.Helper()
	r := &receiver{}
	err := h.Do(func() error {
		device, err := net.InterfaceByName(h.Interface)
		if err != nil {
			return err
		}
		r.conn, err = packet.Listen(device, packet.Raw, unix.ETH_P_ALL, nil)
		if err != nil {
			return err
		}
		raw, err := r.conn.SyscallConn()
		if err != nil {
			return err
		}
		var set error
		err = raw.Control(func(fd uintptr) {
			set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
		})
		return errors.Join(err, set)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.conn.Close() })
	return r
}

// frames gives what arrives until nothing does for a while.
func (r *receiver) frames(t *testing.T) [][]byte {
	t.Helper()
	var all [][]byte
	buf := make([]byte, 1<<16)
	for {
		if err := r.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, _, err := r.conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, append([]byte(nil), buf[:n]...))
	}
}

// frame is an Ethernet frame of an experimental type with a number in it.
func frame(from, to *testnet.Host, number uint32) []byte {
	f := append(append([]byte(nil), to.MAC...), from.MAC...)
	f = append(f, 0x88, 0xb5)
	f = binary.BigEndian.AppendUint32(f, number)
	return append(f, make([]byte, 60-len(f))...)
}

func sender(t *testing.T, h *testnet.Host) *testnet.Frames {
	t.Helper()
	f, err := h.Frames()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestMirrorCarriesEachFrameOnce(t *testing.T) {
	n := testnet.New(t, testnet.Config{})
	mirror := receive(t, n.C)
	const each = 2000
	a, b := sender(t, n.A), sender(t, n.B)
	for i := range uint32(each) {
		if err := errors.Join(a.Send(frame(n.A, n.B, i)), b.Send(frame(n.B, n.A, each+i))); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[uint32]int{}
	for _, f := range mirror.frames(t) {
		if len(f) != 60 || f[12] != 0x88 || f[13] != 0xb5 {
			t.Errorf("a frame that nobody sent: %x", f)
			continue
		}
		seen[binary.BigEndian.Uint32(f[14:])]++
	}
	for i := range uint32(2 * each) {
		if seen[i] != 1 {
			t.Errorf("frame %d came %d times", i, seen[i])
		}
	}
	for host, want := range map[*testnet.Host]uint64{n.A: each, n.B: each, n.C: 2 * each} {
		if c, err := host.Counters(); err != nil || c.RxPackets != want {
			t.Errorf("%s received %d frames, want %d (%v)", host.Name, c.RxPackets, want, err)
		}
	}
}

// A silent network carries what is sent and nothing else, over IPv4 and IPv6, also some time after it was made.
func TestUDPOfKnownSize(t *testing.T) {
	n := testnet.New(t, testnet.Config{})
	mirror := receive(t, n.C)
	const datagrams, size = 50, 100
	for _, addr := range []string{n.B.IPv4.String(), n.B.IPv6.String()} {
		server, err := n.B.ListenPacket("udp", net.JoinHostPort(addr, "9"))
		if err != nil {
			t.Fatal(err)
		}
		client, err := n.A.Dial(t.Context(), "udp", server.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		for range datagrams {
			if _, err := client.Write(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		_ = client.Close()
		defer func() { _ = server.Close() }()
	}
	time.Sleep(1500 * time.Millisecond) // the kernel's first words come late, if they come
	count := map[int]int{}
	for _, f := range mirror.frames(t) {
		count[len(f)]++
	}
	if v4, v6 := 14+20+8+size, 14+40+8+size; count[v4] != datagrams || count[v6] != datagrams || len(count) != 2 {
		t.Errorf("frames by length: %v, want %d each of %d and %d", count, datagrams, v4, v6)
	}
}

func TestTCPIsCutToTheMTU(t *testing.T) {
	for name, c := range map[string]struct {
		offloads testnet.Offloads
		merged   bool
	}{"off": {testnet.OffloadsOff, false}, "on": {testnet.OffloadsOn, true}} {
		t.Run(name, func(t *testing.T) {
			n := testnet.New(t, testnet.Config{Offloads: c.offloads})
			mirror := receive(t, n.C)
			transfer(t, n, 1<<20)
			longest := 0
			for _, f := range mirror.frames(t) {
				longest = max(longest, len(f))
			}
			if merged := longest > 1514; merged != c.merged {
				t.Errorf("the longest frame has %d bytes", longest)
			}
		})
	}
}

func transfer(t *testing.T, n *testnet.Net, size int64) {
	t.Helper()
	server, err := n.B.Listen("tcp", net.JoinHostPort(n.B.IPv4.String(), "80"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	failed := make(chan error, 1)
	go func() {
		c, err := server.Accept()
		if err == nil {
			_, err = c.Write(make([]byte, size))
			err = errors.Join(err, c.Close())
		}
		failed <- err
	}()
	client, err := n.A.Dial(t.Context(), "tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	got, err := io.Copy(io.Discard, client)
	if err := errors.Join(err, <-failed); err != nil || got != size {
		t.Fatalf("%d bytes of %d came: %v", got, size, err)
	}
}

// What a bridge would swallow or a driver would strip goes through: tags, a slow protocol's address, jumbo frames.
func TestAnyFrameGoesThrough(t *testing.T) {
	n := testnet.New(t, testnet.Config{MTU: 9000})
	mirror, out := receive(t, n.B), sender(t, n.A)
	lacp := frame(n.A, n.B, 1)
	copy(lacp, []byte{0x01, 0x80, 0xc2, 0, 0, 0x02})
	broadcast := frame(n.A, n.B, 2)
	copy(broadcast, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	jumbo := append(frame(n.A, n.B, 3), make([]byte, 9014-60)...)
	qinq := append(append(frame(n.A, n.B, 4)[:12:12], 0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x08, 0), make([]byte, 46)...)
	for _, f := range [][]byte{lacp, broadcast, jumbo, qinq} {
		if err := out.Send(f); err != nil {
			t.Fatal(err)
		}
	}
	var lengths []int
	for _, f := range mirror.frames(t) {
		lengths = append(lengths, len(f))
	}
	if got, want := fmt.Sprint(lengths), fmt.Sprint([]int{60, 60, 9014, len(qinq) - 4}); got != want {
		t.Errorf("frames of lengths %s arrived, want %s (the outer tag is stripped by the kernel)", got, want)
	}
}

func TestMirrorComesBack(t *testing.T) {
	n := testnet.New(t, testnet.Config{})
	out := sender(t, n.A)
	before, err := n.C.Index()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.DeleteMirror(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.C.Index(); err == nil {
		t.Error("the mirror is still there")
	}
	transfer(t, n, 1000) // the hosts still talk
	if err := n.CreateMirror(); err != nil {
		t.Fatal(err)
	}
	after, err := n.C.Index()
	if err != nil || after == before {
		t.Errorf("index %d before and %d after (%v)", before, after, err)
	}
	mirror := receive(t, n.C)
	if err := out.Send(frame(n.A, n.B, 1)); err != nil {
		t.Fatal(err)
	}
	if got := len(mirror.frames(t)); got != 1 {
		t.Errorf("%d frames after the mirror was made again, want 1", got)
	}
	if err := errors.Join(n.C.Down(), n.C.Up()); err != nil {
		t.Error(err)
	}
}

func TestCommandRunsInside(t *testing.T) {
	n := testnet.New(t, testnet.Config{Noise: testnet.Chatty})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := n.A.Command(ctx, "cat", "/proc/net/if_inet6").CombinedOutput()
	if err != nil || !contains(out, "fd770000000000000000000000000001") {
		t.Errorf("%v: %s", err, out)
	}
	if err := n.A.Command(ctx, "no-such-program").Run(); err == nil {
		t.Error("a program that does not exist ran")
	}
}

func contains(out []byte, text string) bool { return bytes.Contains(out, []byte(text)) }
