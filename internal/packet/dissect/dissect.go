// Package dissect is what tshark says of the outermost IP header of every frame of a capture file: the reference that the
// decoder and the reading command are tested against.
package dissect

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
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

// Frame is what tshark says of the outermost IP header of one frame. It is comparable.
type Frame struct {
	Protocols string // of the frame, outermost first
	Version   uint8  // 0 where there is no IP
	Src, Dst  netip.Addr
	SrcPort   uint16
	DstPort   uint16
	Proto     uint8
	ToS       uint8
	Flags     uint16
	HasFlags  bool // tshark leaves them out where the TCP header is no whole one
	Bytes     uint64
	Later     bool // a later fragment: tshark does not say its ports
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

// File runs tshark over a capture file, without reassembly, and gives its word on each frame, up to where the file is
// damaged. The error says that tshark could not be run or read.
func File(path string) ([]Frame, error) {
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
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var frames []Frame
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
		return nil, errors.Join(err, cmd.Wait())
	}
	// A damaged file ends with status 2, after all that can be read.
	if err := cmd.Wait(); err != nil && len(frames) == 0 {
		return nil, fmt.Errorf("tshark %s: %w: %s", path, err, strings.TrimSpace(errs.String()))
	}
	return frames, nil
}

// outermost picks the first IP header out of the fields of a frame.
func outermost(v values) Frame {
	d := Frame{Protocols: strings.Join(v["frame.protocols"], ";")}
	_, has4 := v.text("ip.dst")
	_, has6 := v.text("ipv6.dst")
	for name := range strings.SplitSeq(d.Protocols, ":") {
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

func (d *Frame) ipv4(v values) {
	src, _ := v.text("ip.src")
	dst, routed := v.text("ip.cur_rt") // of a source route tshark calls the last hop the destination, and the header's field this
	if !routed {
		dst, _ = v.text("ip.dst")
	}
	d.Version, d.Src, d.Dst = 4, netip.MustParseAddr(src), netip.MustParseAddr(dst)
	d.Proto, d.ToS, d.Bytes = uint8(v.number("ip.proto")), uint8(v.number("ip.dsfield")), v.number("ip.len")
	d.Later = v.number("ip.frag_offset") != 0
	d.transport(v)
}

// chain names the field that holds the next header of an IPv6 extension header.
var chain = map[uint8]string{
	0: "ipv6.hopopts.nxt", 43: "ipv6.routing.nxt", 44: "ipv6.fraghdr.nxt", 60: "ipv6.dstopts.nxt", 51: "ah.next_header", 135: "mip6.proto",
	139: "hip.proto", 140: "shim6.nxt",
}

// IsExtension reports whether a protocol number is that of an IPv6 extension header.
func IsExtension(proto uint8) bool {
	_, is := chain[proto]
	return is
}

func (d *Frame) ipv6(v values) {
	src, _ := v.text("ipv6.src")
	dst, _ := v.text("ipv6.dst")
	d.Version, d.Src, d.Dst = 6, netip.MustParseAddr(src), netip.MustParseAddr(dst)
	d.Proto, d.ToS, d.Bytes = uint8(v.number("ipv6.nxt")), uint8(v.number("ipv6.tclass")), 40+v.number("ipv6.plen")
	if d.Bytes == 40 {
		jumbo, _ := v.pop("ipv6.opt.jumbo")
		d.Bytes += jumbo
	}
	for {
		field, extension := chain[d.Proto]
		if !extension {
			break
		}
		fragment := d.Proto == 44
		next, ok := v.pop(field)
		if !ok {
			return
		}
		d.Proto = uint8(next)
		if fragment {
			offset, _ := v.pop("ipv6.fraghdr.offset")
			if d.Later = offset != 0; d.Later {
				return
			}
		}
	}
	d.transport(v)
}

func (d *Frame) transport(v values) {
	if d.Later {
		return
	}
	name := map[uint8]string{6: "tcp", 17: "udp", 132: "sctp", 33: "dccp", 136: "udp"}[d.Proto]
	switch {
	case name != "":
		d.SrcPort, d.DstPort = uint16(v.number(name+".srcport")), uint16(v.number(name+".dstport"))
		if name == "tcp" {
			_, d.HasFlags = v.text("tcp.flags")
			d.Flags = uint16(v.number("tcp.flags"))
		}
	case d.Proto == 1:
		d.DstPort = uint16(v.number("icmp.type")<<8 | v.number("icmp.code"))
	case d.Proto == 58:
		d.DstPort = uint16(v.number("icmpv6.type")<<8 | v.number("icmpv6.code"))
	}
}

func (d Frame) String() string {
	if d.Version == 0 {
		return "none (" + d.Protocols + ")"
	}
	return fmt.Sprintf("%s:%d > %s:%d protocol %d, ToS %d, flags %#x, %d octets, later fragment %v (%s)", d.Src, d.SrcPort, d.Dst, d.DstPort,
		d.Proto, d.ToS, d.Flags, d.Bytes, d.Later, d.Protocols)
}
