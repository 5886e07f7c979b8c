package sensor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/status"
)

// Bounds of TopOptions.
const (
	leastInterval = 100 * time.Millisecond
	mostInterval  = time.Hour
)

// TopOptions are those of `flow-sensor top`.
type TopOptions struct {
	StatusOptions
	Interval time.Duration
	Flows    int
	// Count is after how many pictures it ends; 0 is never.
	Count int
	// Screen has each picture take the place of the one before; nil has them follow each other.
	Screen *Screen
}

// ShowTop is `flow-sensor top`: what passes now, again and again.
func ShowTop(ctx context.Context, o TopOptions) error {
	switch {
	case o.Interval < leastInterval || o.Interval > mostInterval:
		return configError(fmt.Errorf("--interval: %s: want %s to %s", o.Interval, leastInterval, mostInterval))
	case o.Flows < 0 || o.Flows > maxTop:
		return configError(fmt.Errorf("--flows: %d: want 0 to %d", o.Flows, maxTop))
	case o.Count < 0:
		return configError(fmt.Errorf("--count: %d: want 0 for no end, or more", o.Count))
	}
	client := status.NewClient(o.SocketPath())
	defer client.Close()
	defer o.Screen.close()
	var before Snapshot
	if err := client.Get(ctx, StatusTarget, &before); err != nil {
		return interrupted(ctx, err)
	}
	tick := time.NewTicker(o.Interval)
	defer tick.Stop()
	for n := 0; o.Count == 0 || n < o.Count; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var view topView
		if err := view.read(ctx, client, before, o); err != nil {
			return interrupted(ctx, err)
		}
		before = view.after
		var picture bytes.Buffer
		if err := view.write(&text{out: &picture}); err != nil {
			return err
		}
		if err := o.Screen.show(o.Out, picture.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// interrupted makes an end by a signal no error.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// topView is what one picture shows.
type topView struct {
	before, after Snapshot
	top           TopSnapshot
	seconds       float64 // between the two; 0 where the daemon was started anew
}

func (v *topView) read(ctx context.Context, client *status.Client, before Snapshot, o TopOptions) error {
	v.before = before
	if err := client.Get(ctx, StatusTarget, &v.after); err != nil {
		return err
	}
	if d, same := span(before.Head, v.after.Head); same {
		v.seconds = d.Seconds()
	}
	flows := o.Flows
	if o.Screen != nil {
		flows = min(flows, o.Screen.rows()-len(v.after.Interfaces)-headRows)
	}
	if flows < 1 {
		return nil
	}
	return client.Get(ctx, fmt.Sprintf("%s?flows=%d", topTarget, flows), &v.top)
}

// headRows is how many lines a picture has beside the interfaces and the flows.
const headRows = 11

// rate is what a counter grew by in a second. It may go back where an interface was made anew.
func (v *topView) rate(before, after uint64) float64 {
	if v.seconds == 0 || after < before {
		return 0
	}
	return float64(after-before) / v.seconds
}

func (v *topView) write(t *text) error {
	a, b := &v.after, &v.before
	t.printf("flow-sensor %s  %s  up %s\n", a.ID, a.Time.Local().Format(time.TimeOnly), status.Age(time.Duration(a.Uptime*float64(time.Second))))
	if len(a.Stalled) > 0 {
		t.printf("NO PROGRESS: %s\n", strings.Join(a.Stalled, ", "))
	}
	la, lb := a.Ledger, b.Ledger
	packets := v.rate(lb.Packets.Read+lb.Packets.GSOExtra, la.Packets.Read+la.Packets.GSOExtra)
	t.printf("%s packets/s  %sbit/s  %s of %s flows  %s records/s\n", status.Scaled(packets), status.Scaled(8*v.rate(lb.Bytes.Read, la.Bytes.Read)),
		status.Count(la.Flows), status.Count(a.MaxFlows), status.Scaled(v.rate(lb.Records, la.Records)))
	t.printf("drops/s: ring %s, interface %s, refused %s, export %s\n", status.Scaled(v.rate(b.dropped(), a.dropped())),
		status.Scaled(v.rate(b.lost(), a.lost())), v.rates(lb.Packets.Refused, la.Packets.Refused), v.rates(b.Export.Dropped, a.Export.Dropped))
	t.printf("dropped since start: ring %s, interface %s, export %s\n", status.Count(a.dropped()), status.Count(a.lost()), status.Counts(a.Export.Dropped))
	t.printf("collector %s: %s records/s sent, %s acknowledged/s, %s pending%s\n\n", cmp.Or(a.Export.Remote, absent),
		status.Scaled(v.rate(b.Export.SentRecords, a.Export.SentRecords)), status.Scaled(v.rate(b.Export.AckedRecords, a.Export.AckedRecords)),
		status.Count(a.Export.Pending), map[bool]string{true: ", HELD BACK"}[a.Export.Held])
	t.table(v.interfaceRows())
	t.printf("\n")
	t.table(v.flowRows())
	if len(v.top.Silent) > 0 {
		t.printf("no answer from %s\n", strings.Join(v.top.Silent, ", "))
	}
	return t.err
}

// rates writes how fast counts by name grow.
func (v *topView) rates(before, after map[string]uint64) string {
	grown := make(map[string]uint64)
	for name, n := range after {
		grown[name] = uint64(v.rate(before[name], n) + 0.5)
	}
	return status.Counts(grown)
}

// dropped is what the rings had no room for.
func (s *Snapshot) dropped() (n uint64) {
	for i := range s.Interfaces {
		n += s.Interfaces[i].Dropped
	}
	return n
}

// lost is what the interfaces lost before the rings.
func (s *Snapshot) lost() (n uint64) {
	for i := range s.Interfaces {
		n += s.Interfaces[i].NIC.Lost()
	}
	return n
}

func (v *topView) interfaceRows() [][]string {
	rows := [][]string{{"INTERFACE", "LINK", "PACKETS/S", "RING DROPS/S", "RING DROPPED", "FREEZES"}}
	earlier := make(map[string]InterfaceStatus)
	for _, in := range v.before.Interfaces {
		earlier[in.Name] = in
	}
	for _, in := range v.after.Interfaces {
		was := earlier[in.Name]
		rows = append(rows, []string{
			in.Name, in.state(), status.Scaled(v.rate(was.Received, in.Received)), status.Scaled(v.rate(was.Dropped, in.Dropped)),
			status.Count(in.Dropped), status.Count(in.Freezes),
		})
	}
	return rows
}

func (v *topView) flowRows() [][]string {
	rows := [][]string{{"BIT/S", "PACKETS/S", "PROTO", "SOURCE", "DESTINATION", "INTERFACE", "AGE"}}
	for _, f := range v.top.Flows {
		rows = append(rows, []string{
			status.Scaled(8 * float64(f.BytesPerSecond)), status.Scaled(float64(f.PacketsPerSecond)), protocol(f.Proto),
			end(f.Proto, f.Src, f.SrcPort), end(f.Proto, f.Dst, f.DstPort), f.Iface, status.Age(v.top.Time.Sub(f.First)),
		})
	}
	return rows
}

// protocol names the usual ones, as IANA does.
func protocol(p uint8) string {
	names := map[uint8]string{
		flow.ProtoICMP: "icmp", flow.ProtoIGMP: "igmp", flow.ProtoTCP: "tcp", flow.ProtoUDP: "udp", flow.ProtoGRE: "gre", flow.ProtoESP: "esp",
		flow.ProtoAH: "ah", flow.ProtoICMPv6: "ipv6-icmp", flow.ProtoSCTP: "sctp",
	}
	if name, known := names[p]; known {
		return name
	}
	return strconv.Itoa(int(p))
}

// end writes an address, with the port where the protocol has ports.
func end(proto uint8, a netip.Addr, port uint16) string {
	switch proto {
	case flow.ProtoTCP, flow.ProtoUDP, flow.ProtoSCTP:
		return netip.AddrPortFrom(a, port).String()
	default:
		return a.String()
	}
}
