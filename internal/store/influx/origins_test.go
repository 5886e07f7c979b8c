package influx_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/store/influx"
	"flowsensor/internal/store/influxtest"
)

// TestRoutesAndOriginsBecomeFields: what the sensor knew of routes and the collector of systems can be asked for, as fields.
func TestRoutesAndOriginsBecomeFields(t *testing.T) {
	server := influxtest.ForTest(t, influxtest.Debian, influxtest.Config{})
	createDatabase(t, server)
	b := newSource("edge-1").batch(1)
	b.Records = b.Records[:1]
	r := &b.Records[0]
	r.Key = flow.Key{Proto: flow.ProtoUDP, Version: 6, IfIndex: r.IfIndex}
	r.Src, _ = flow.AddrFrom(netip.MustParseAddr("2001:db8::1"))
	r.Dst, _ = flow.AddrFrom(netip.MustParseAddr("2001:db8:a::1"))
	r.NextHop, _ = flow.AddrFrom(netip.MustParseAddr("fe80::1"))
	r.OutIf, r.SrcMask, r.DstMask, r.SrcAS, r.DstAS = 9, 33, 1, 64500, 4294967294
	b.Attributions = []flow.Attribution{{FromServer: true, ClientASName: `Two "Inc."`, ServerASName: "Ünï, one=1i \\"}}
	run := newRun(t, poolConfig(), target(server, influx.V1))
	run.submit(t, []*flow.Batch{b})
	if s := run.finish(t, time.Minute); s.Written.Records != 1 {
		t.Fatalf("%+v\n%s", s, run.log)
	}
	rows, err := server.Points(t.Context(), "flows", "flow")
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for field, want := range map[string]string{
		"next_hop": "fe80::1", "out_if": "9", "src_mask": "32", "dst_mask": "0", "src_as": "64500", "dst_as": "4294967294",
		"src_as_name": "Ünï, one=1i _", "dst_as_name": `Two "Inc."`,
	} {
		if got := fmt.Sprint(rows[0][field]); got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
}
