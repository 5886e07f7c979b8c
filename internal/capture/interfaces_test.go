package capture_test

import (
	"net/netip"
	"slices"
	"testing"

	"flowsensor/internal/capture"
	"flowsensor/internal/frame"
	"flowsensor/internal/testnet"
)

func TestInterfaces(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{Offloads: testnet.OffloadsOn, MTU: 1400})
	var all []capture.Interface
	err := l.Capture.Do(func() (err error) {
		all, err = capture.Interfaces()
		return err
	})
	if err != nil || len(all) != 2 {
		t.Fatalf("%v: %+v", err, all)
	}
	lo, eth := all[0], all[1]
	if lo.Name != "lo" || lo.State != capture.LinkUp || lo.LinkType != frame.Ethernet || lo.Refusal != nil ||
		!slices.Contains(lo.Addresses, netip.MustParsePrefix("127.0.0.1/8")) {
		t.Errorf("loopback: %+v", lo)
	}
	index, err := l.Capture.Index()
	if err != nil {
		t.Fatal(err)
	}
	if eth.Name != "eth0" || eth.Index != index || eth.Type != "veth" || eth.Hardware != "ether" || eth.State != capture.LinkUp ||
		eth.MTU != 1400 || eth.MAC.String() != l.Capture.MAC.String() || eth.Promiscuity != 0 || eth.Driver != "veth" ||
		eth.LinkType != frame.Ethernet || eth.Refusal != nil {
		t.Errorf("veth: %+v", eth)
	}
	if want := (capture.Offloads{GRO: capture.On, LRO: capture.Off, TSO: capture.On}); eth.Offloads != want {
		t.Errorf("offloads: %+v", eth.Offloads)
	}
	for _, want := range []netip.Prefix{netip.PrefixFrom(l.Capture.IPv4, 24), netip.PrefixFrom(l.Capture.IPv6, 64)} {
		if !slices.Contains(eth.Addresses, want) {
			t.Errorf("%v lacks %s", eth.Addresses, want)
		}
	}
}

func TestGateways(t *testing.T) {
	l := testnet.NewLink(t, testnet.Config{})
	ctx := timeout(t, 20e9)
	for _, args := range [][]string{
		{"route", "add", "default", "via", "10.77.0.1", "metric", "50"},
		{"route", "add", "default", "via", "10.77.0.3", "metric", "20"},
		{"route", "add", "192.0.2.0/24", "via", "10.77.0.1"},
		{"route", "add", "198.51.100.0/24", "dev", "eth0"}, // no gateway
		{"route", "add", "203.0.113.0/24", "nexthop", "via", "10.77.0.1", "nexthop", "via", "10.77.0.4"},
		{"route", "add", "10.9.0.0/16", "via", "inet6", "fd77::1", "dev", "eth0"},
		{"-6", "route", "add", "default", "via", "fd77::1", "metric", "7"},
		{"route", "add", "192.0.2.0/25", "via", "10.77.0.9", "table", "77"},
		{"route", "add", "unreachable", "10.8.0.0/16"},
	} {
		if out, err := l.Capture.Command(ctx, "ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	var all []capture.Gateway
	err := l.Capture.Do(func() (err error) {
		all, err = capture.Gateways()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	gateway := func(destination, via string, metric, table int) capture.Gateway {
		return capture.Gateway{
			Destination: netip.MustParsePrefix(destination), Via: netip.MustParseAddr(via), Interface: "eth0", Metric: metric, Table: table,
		}
	}
	want := []capture.Gateway{
		gateway("0.0.0.0/0", "10.77.0.3", 20, 254),
		gateway("0.0.0.0/0", "10.77.0.1", 50, 254),
		gateway("::/0", "fd77::1", 7, 254),
		gateway("10.9.0.0/16", "fd77::1", 0, 254),
		gateway("192.0.2.0/24", "10.77.0.1", 0, 254),
		gateway("192.0.2.0/25", "10.77.0.9", 0, 77),
		gateway("203.0.113.0/24", "10.77.0.1", 0, 254),
		gateway("203.0.113.0/24", "10.77.0.4", 0, 254),
	}
	if !slices.Equal(all, want) {
		t.Errorf("got  %v\nwant %v", all, want)
	}
}

// What each kind of device hands over; those that this kernel can make are captured on elsewhere.
func TestLinkTypes(t *testing.T) {
	for hardware, want := range map[string]frame.LinkType{
		"ether": frame.Ethernet, "loopback": frame.Ethernet, "none": frame.Raw, "sit": frame.Raw, "ipip": frame.Raw, "gre": frame.Raw, "ppp": frame.Raw,
	} {
		if got, err := capture.LinkTypeOf(hardware); err != nil || got != want {
			t.Errorf("%s: %s, %v", hardware, got, err)
		}
	}
	for _, hardware := range []string{"infiniband", "ieee802.11/radiotap", "can", "unknown999"} {
		if _, err := capture.LinkTypeOf(hardware); err == nil {
			t.Errorf("%s is accepted", hardware)
		}
	}
}
