package sensor

import (
	"context"
	"encoding/binary"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/capture"
	"flowsensor/internal/daemon"
	"flowsensor/internal/flow"
	"flowsensor/internal/testgate"
	"flowsensor/internal/testnet"
)

// behindTags puts VLAN tags in front of a frame's EtherType.
func behindTags(f []byte, tpids ...uint16) []byte {
	var tags []byte
	for i, tpid := range tpids {
		tags = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(tags, tpid), uint16(100+i))
	}
	return slices.Concat(f[:12], tags, f[12:])
}

// inFragments gives three fragments of a UDP datagram: the ports are in the first one alone, and payload that differs
// stands where the others would have them.
func inFragments(from, to netip.AddrPort, id uint16) (all [][]byte) {
	for i, field := range []uint16{0x2000, 0x2000 | 10, 20} {
		f := udpFrame(from, to)
		ip := f[14:]
		binary.BigEndian.PutUint16(ip[4:], id)
		binary.BigEndian.PutUint16(ip[6:], field)
		if i > 0 {
			binary.BigEndian.PutUint32(ip[20:], uint32(id)*0x9e3779b9+uint32(i))
		}
		all = append(all, f)
	}
	return all
}

// offered is what a sender sent: packets by flow.
type offered struct {
	*testing.T

	out  *testnet.Frames
	want map[flow.Key]uint64
}

// send sends frames of one flow.
func (o *offered) send(from, to netip.AddrPort, frames ...[]byte) {
	k := flow.Key{SrcPort: from.Port(), DstPort: to.Port(), Proto: flow.ProtoUDP}
	k.Src, k.Version = flow.AddrFrom(from.Addr())
	k.Dst, _ = flow.AddrFrom(to.Addr())
	o.want[k] += uint64(len(frames))
	for _, f := range frames {
		if err := o.out.Send(f); err != nil {
			o.Fatal(err)
		}
	}
}

// client sends what one client may: a flow behind all kinds of tags, its answers, and fragments.
func (o *offered) client(number uint16, server netip.AddrPort) {
	addr := netip.AddrFrom4([4]byte{10, 2, byte(number % 7), byte(number)})
	client, big := netip.AddrPortFrom(addr, 2000+number), netip.AddrPortFrom(addr, 30000+number)
	f := udpFrame(client, server)
	o.send(client, server, f, behindTags(f, 0x8100), behindTags(f, 0x88a8, 0x8100), behindTags(f, 0x9100, 0x8100))
	o.send(server, client, udpFrame(server, client))
	for id := range uint16(3) {
		o.send(big, server, inFragments(big, server, 3*number+id)...)
	}
}

// compare holds records against what was sent: one of each flow.
func (o *offered) compare(records []flow.Record) {
	got := map[flow.Key]uint64{}
	for _, r := range records {
		k := r.Key
		k.IfIndex = 0
		got[k] += r.Packets
	}
	if len(records) != len(o.want) || !maps.Equal(got, o.want) {
		o.Errorf("%d records of %d flows, want %d", len(records), len(got), len(o.want))
	}
}

// Several workers share the packets so that each flow is in one record, whatever stands in front of it and in how many
// fragments it comes.
func TestEachFlowMeetsOneWorker(t *testing.T) {
	testnet.RequireRoot(t)
	const clients = 150
	for _, workers := range []int{2, 4} {
		l := testnet.NewLink(t, testnet.Config{})
		c := configOn(t, l)
		c.Capture.Workers, c.Capture.CPUs = workers, []int{0}
		sent := &offered{T: t, want: map[flow.Key]uint64{}}
		ledger, records := serve(t, l, c, func() {
			var err error
			if sent.out, err = l.Generator.Frames(); err != nil {
				t.Fatal(err)
			}
			for i := range uint16(clients) {
				sent.client(i, netip.MustParseAddrPort("198.51.100.9:53"))
			}
			if err := sent.out.Close(); err != nil {
				t.Error(err)
			}
		})
		sent.compare(records)
		if ledger.Dropped != 0 || ledger.Packets.Accounted != 14*clients || ledger.Notes["fragment_unmatched"] != 0 {
			t.Errorf("%d workers: %+v", workers, ledger)
		}
	}
}

// The metric tells a fanout that keeps flows together from one that does not: by CPU, of packets that come in on two.
func TestSplitFlowsAreSeenLive(t *testing.T) {
	testnet.RequireRoot(t)
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil || !allowed.IsSet(0) || !allowed.IsSet(1) {
		testgate.Skip(t, "needs CPUs 0 and 1: ", err)
	}
	for mode, splits := range map[capture.FanoutMode]bool{capture.FanoutFlow: false, capture.FanoutHash: false, capture.FanoutCPU: true} {
		l := testnet.NewLink(t, testnet.Config{})
		c := configOn(t, l)
		c.Capture.Workers, c.Capture.Fanout, c.Flows.MaxFlows = 2, mode, 1<<16
		s := NewService("", c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler))
		if err := l.Capture.Do(func() error { return s.Start(t.Context()) }); err != nil {
			t.Fatal(err)
		}
		const flows = 16384
		sendFrom(t, l, flows, 0, 1)
		awaitQuiet(s)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		read := map[string]float64{}
		s.readMetrics(func(name string, value float64, _ ...string) { read[name] += value })
		watched, split := read["fanout_watched_flows_total"], read["fanout_split_flows_total"]
		if watched == 0 || (split > 0) != splits || split > watched {
			t.Errorf("%s: %v flows of %v watched met two workers", mode, split, watched)
		}
		if ledger := s.Ledger(); !ledger.Balanced() || ledger.Received != 2*flows {
			t.Errorf("%s: %+v", mode, ledger)
		}
		t.Logf("%s: %v watched, %v split", mode, watched, split)
	}
}

// sendFrom sends a packet of each flow from each CPU, which is then also the one that receives it.
func sendFrom(t *testing.T, l *testnet.Link, flows uint32, cpus ...int) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := l.Generator.Frames()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	for _, cpu := range cpus {
		release, err := pinThread(cpu)
		if err != nil {
			t.Fatal(err)
		}
		for i := range flows {
			if err := out.Send(tcpFrame(i)); err != nil {
				t.Fatal(err)
			}
		}
		release()
	}
}
