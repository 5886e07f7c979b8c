package packet_test

import (
	"bufio"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// tsharkFields are asked for in this order; every one may occur several times in a frame, the outermost first.
var tsharkFields = []string{
	"frame.encap_type", "frame.protocols", "ip.src", "ip.dst", "ip.cur_rt", "ip.proto", "ip.len", "ip.dsfield", "ip.frag_offset",
	"ipv6.src", "ipv6.dst", "ipv6.nxt", "ipv6.plen", "ipv6.tclass", "ipv6.opt.jumbo",
	"ipv6.hopopts.nxt", "ipv6.routing.nxt", "ipv6.fraghdr.nxt", "ipv6.dstopts.nxt", "ah.next_header", "mip6.proto", "hip.proto", "shim6.nxt",
	"ipv6.fraghdr.offset",
	"tcp.srcport", "tcp.dstport", "tcp.flags", "udp.srcport", "udp.dstport", "sctp.srcport", "sctp.dstport",
	"dccp.srcport", "dccp.dstport", "icmp.type", "icmp.code", "icmpv6.type", "icmpv6.code",
}

// dissection is what tshark says of the outermost IP header of one frame.
type dissection struct {
	protocols string // of the frame, outermost first
	version   uint8  // 0 where there is none
	src, dst  netip.Addr
	srcPort   uint16
	dstPort   uint16
	proto     uint8
	tos       uint8
	flags     uint16
	hasFlags  bool // tshark leaves them out where the TCP header is no whole one
	bytes     uint64
	later     bool // a later fragment: tshark does not say its ports
}

// values are the fields of one frame by name, each in the order of occurrence.
type values map[string][]string

func (v values) text(name string) (string, bool) {
	if len(v[name]) == 0 {
		return "", false
	}
	return v[name][0], true
}

func (v values) number(name string) uint64 {
	s, _ := v.text(name)
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return 0
	}
	return n
}

// pop takes the next occurrence, false where there is none.
func (v values) pop(name string) (uint64, bool) {
	if len(v[name]) == 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(v[name][0], 0, 64)
	v[name] = v[name][1:]
	return n, err == nil
}

// dissect runs tshark over a capture file, without reassembly, and gives one dissection for each frame.
func dissect(t *testing.T, path string) []dissection {
	t.Helper()
	args := []string{
		"-n", "-r", path, "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "ipv6.tso_support:TRUE", "-o", "tcp.desegment_tcp_streams:FALSE",
		"-o", "tcp.check_checksum:FALSE", "-T", "fields", "-E", "occurrence=a", "-E", "separator=/t", "-E", "aggregator=;",
	}
	for _, f := range tsharkFields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command("tshark", args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var frames []dissection
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		v := values{}
		for i, field := range strings.Split(lines.Text(), "\t") {
			if field != "" {
				v[tsharkFields[i]] = strings.Split(field, ";")
			}
		}
		if _, packet := v.text("frame.encap_type"); packet { // a pcapng file has other records too
			frames = append(frames, outermost(v))
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Logf("tshark %s: %v: %s", path, err, strings.TrimSpace(errs.String()))
	}
	return frames
}

// outermost picks the first IP header out of the fields of a frame.
func outermost(v values) dissection {
	d := dissection{protocols: strings.Join(v["frame.protocols"], ";")}
	_, has4 := v.text("ip.dst")
	_, has6 := v.text("ipv6.dst")
	for _, name := range strings.Split(d.protocols, ":") {
		switch {
		case name == "ip" && has4:
			d.ipv4(v)
			return d
		case name == "ipv6" && has6:
			d.ipv6(v)
			return d
		}
	}
	return d
}

func (d *dissection) ipv4(v values) {
	src, _ := v.text("ip.src")
	dst, routed := v.text("ip.cur_rt") // of a source route tshark calls the last hop the destination, and the header's field this
	if !routed {
		dst, _ = v.text("ip.dst")
	}
	d.version, d.src, d.dst = 4, netip.MustParseAddr(src), netip.MustParseAddr(dst)
	d.proto, d.tos, d.bytes = uint8(v.number("ip.proto")), uint8(v.number("ip.dsfield")), v.number("ip.len")
	d.later = v.number("ip.frag_offset") != 0
	d.transport(v)
}

// chain names the field that holds the next header of an IPv6 extension header.
var chain = map[uint8]string{
	0: "ipv6.hopopts.nxt", 43: "ipv6.routing.nxt", 44: "ipv6.fraghdr.nxt", 60: "ipv6.dstopts.nxt", 51: "ah.next_header", 135: "mip6.proto",
	139: "hip.proto", 140: "shim6.nxt",
}

func (d *dissection) ipv6(v values) {
	src, _ := v.text("ipv6.src")
	dst, _ := v.text("ipv6.dst")
	d.version, d.src, d.dst = 6, netip.MustParseAddr(src), netip.MustParseAddr(dst)
	d.proto, d.tos, d.bytes = uint8(v.number("ipv6.nxt")), uint8(v.number("ipv6.tclass")), 40+v.number("ipv6.plen")
	if d.bytes == 40 {
		jumbo, _ := v.pop("ipv6.opt.jumbo")
		d.bytes += jumbo
	}
	for {
		field, extension := chain[d.proto]
		if !extension {
			break
		}
		fragment := d.proto == 44
		next, ok := v.pop(field)
		if !ok {
			return
		}
		d.proto = uint8(next)
		if fragment {
			offset, _ := v.pop("ipv6.fraghdr.offset")
			if d.later = offset != 0; d.later {
				return
			}
		}
	}
	d.transport(v)
}

func (d *dissection) transport(v values) {
	if d.later {
		return
	}
	name := map[uint8]string{6: "tcp", 17: "udp", 132: "sctp", 33: "dccp", 136: "udp"}[d.proto]
	switch {
	case name != "":
		d.srcPort, d.dstPort = uint16(v.number(name+".srcport")), uint16(v.number(name+".dstport"))
		if name == "tcp" {
			_, d.hasFlags = v.text("tcp.flags")
			d.flags = uint16(v.number("tcp.flags"))
		}
	case d.proto == 1:
		d.dstPort = uint16(v.number("icmp.type")<<8 | v.number("icmp.code"))
	case d.proto == 58:
		d.dstPort = uint16(v.number("icmpv6.type")<<8 | v.number("icmpv6.code"))
	}
}

func (d dissection) String() string {
	if d.version == 0 {
		return "none (" + d.protocols + ")"
	}
	return fmt.Sprintf("%s:%d > %s:%d protocol %d, ToS %d, flags %#x, %d octets, later fragment %v (%s)", d.src, d.srcPort, d.dst, d.dstPort,
		d.proto, d.tos, d.flags, d.bytes, d.later, d.protocols)
}
