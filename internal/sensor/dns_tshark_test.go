package sensor_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/pcapfile"
	"flowsensor/internal/sensor"
	"flowsensor/internal/testgate"
)

// dnsFields are what tshark is asked for, in this order. Those of records come over all sections of a message.
var dnsFields = []string{
	"frame.time_epoch", "frame.protocols", "_ws.malformed", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "ip.flags.mf", "ip.frag_offset", "ipv6.fraghdr.offset",
	"dns.flags.response", "dns.flags.opcode", "dns.flags.truncated", "dns.flags.rcode", "dns.count.queries", "dns.count.answers",
	"dns.length", "tcp.len", "dns.ns", "dns.soa.mname",
	"dns.qry.name", "dns.qry.type", "dns.qry.class", "dns.resp.type", "dns.resp.name", "dns.resp.ttl", "dns.a", "dns.aaaa", "dns.cname",
}

type dissected map[string][]string

func (d dissected) one(name string) string {
	if len(d[name]) == 0 {
		return ""
	}
	return d[name][0]
}

func (d dissected) pop(name string) string {
	v := d.one(name)
	if v != "" {
		d[name] = d[name][1:]
	}
	return v
}

func (d dissected) number(name string) int {
	n, _ := strconv.ParseInt(d.one(name), 0, 64)
	return int(n)
}

func (d dissected) flag(name string) bool { return d.one(name) == "1" || d.one(name) == "True" }

// written is a name as the sensor has it.
func written(name string) string {
	if name == "<Root>" {
		return "."
	}
	return strings.ToLower(name)
}

// word is the answer in a form that is easy to compare, "" where the sensor is not to give one. It follows the rules of the
// manual, not the sensor's code: records of the answer section, in any order, that lead from the question to addresses.
func (d dissected) word() string {
	if len(d["dns.flags.response"]) != 1 || !d.flag("dns.flags.response") || d.number("dns.flags.opcode") != 0 || d.flag("dns.flags.truncated") ||
		d.number("dns.count.queries") != 1 || d.number("dns.qry.class") != 1 {
		return ""
	}
	aliases, lives, found := map[string]string{}, map[string]int{}, map[string][]string{}
	for range d.number("dns.count.answers") {
		kind, name := d.pop("dns.resp.type"), written(d.pop("dns.resp.name"))
		life, _ := strconv.Atoi(d.pop("dns.resp.ttl"))
		switch kind {
		case "1", "28":
			at := netip.MustParseAddr(d.pop(map[string]string{"1": "dns.a", "28": "dns.aaaa"}[kind]))
			found[name] = append(found[name], fmt.Sprint(at, "=", life))
		case "5":
			aliases[name], lives[name] = written(d.pop("dns.cname")), life
		}
	}
	name, most := written(d.one("dns.qry.name")), 1<<31
	for end := aliases[name]; end != ""; end = aliases[name] {
		name, most = end, min(most, lives[name])
	}
	var addresses []string
	for _, at := range found[name] {
		ip, life, _ := strings.Cut(at, "=")
		n, _ := strconv.Atoi(life)
		addresses = append(addresses, fmt.Sprint(ip, "=", min(n, most)))
	}
	kind, rcode := d.number("dns.qry.type"), d.number("dns.flags.rcode")
	if len(addresses) == 0 && rcode == 0 && kind != 1 && kind != 28 {
		return ""
	}
	if len(addresses) == 0 && rcode == 0 && len(d["dns.ns"]) > 0 && len(d["dns.soa.mname"]) == 0 {
		return "" // a referral
	}
	return said(written(d.one("dns.qry.name")), kind, rcode, addresses)
}

func said(question string, kind, rcode int, addresses []string) string {
	if len(addresses) > flow.MaxDNSAddresses {
		addresses = addresses[:flow.MaxDNSAddresses]
	}
	return fmt.Sprintf("%s type %d code %d %v", question, kind, rcode, addresses)
}

// key is a packet: its time and who sent it to whom.
func (d dissected) key() string {
	seconds, fraction, _ := strings.Cut(d.one("frame.time_epoch"), ".")
	src, dst := d.one("ip.src")+d.one("ipv6.src"), d.one("ip.dst")+d.one("ipv6.dst")
	return fmt.Sprint(seconds, fraction, " ", src, " ", dst)
}

// whole tells packets whose message tshark and the sensor must understand alike: one, and all of it, in a packet of its own.
func (d dissected) whole() bool {
	protocols := d.one("frame.protocols")
	ips := strings.Count(protocols+":", ":ip:") + strings.Count(protocols+":", ":ipv6:")
	return ips == 1 && !strings.Contains(protocols, "icmp") && len(d["_ws.malformed"]) == 0 && len(d["dns.flags.response"]) == 1 &&
		d.number("dns.length")+2*len(d["dns.length"]) <= d.number("tcp.len") && !d.flag("ip.flags.mf") && d.number("ip.frag_offset") == 0 && d.one("ipv6.fraghdr.offset") == ""
}

func tsharkDNS(t *testing.T, path string) []dissected {
	t.Helper()
	args := []string{
		"-n", "-r", path, "-Y", "dns && (udp.srcport == 53 || tcp.srcport == 53)", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE",
		"-o", "tcp.desegment_tcp_streams:FALSE", "-o", "tcp.no_subdissector_on_error:FALSE", "-T", "fields", "-E", "occurrence=a", "-E", "separator=/t", "-E", "aggregator=;",
	}
	for _, f := range dnsFields {
		args = append(args, "-e", f)
	}
	out, _ := exec.Command("tshark", args...).Output() // a damaged file is shown as far as it goes
	var all []dissected
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		d := dissected{}
		for i, field := range strings.Split(lines.Text(), "\t") {
			if field != "" {
				d[dnsFields[i]] = strings.Split(field, ";")
			}
		}
		all = append(all, d)
	}
	return all
}

// sensorDNS gives the sensor's answers by packet.
func sensorDNS(t *testing.T, path string) (map[string][]string, *sensor.Ledger) {
	t.Helper()
	r, err := sensor.NewReader(sensor.Defaults().Flows, nil, func(*flow.Record, string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	got := make(map[string][]string)
	r.ReadNames(sensor.DNSConfig{Enabled: true, MaxFailures: 1 << 20}, func(a *flow.DNSAnswer) {
		if err := a.Validate(); err != nil {
			t.Errorf("%v: %+v", err, a)
		}
		var addresses []string
		for _, at := range a.Addresses {
			addresses = append(addresses, fmt.Sprint(at.Addr.Netip(at.Version), "=", at.TTL))
		}
		key := fmt.Sprintf("%d%09d %s %s", a.Time/1e9, a.Time%1e9, a.Server.Netip(a.Version), a.Client.Netip(a.Version))
		got[key] = append(got[key], said(a.Question, int(a.QType), int(a.RCode), addresses))
	})
	file, err := pcapfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	_ = r.Read(context.Background(), file)
	return got, r.Ledger()
}

// TestNamesAgreeWithTshark reads captures of DNS traffic that others made: the answers are those that tshark decodes.
func TestNamesAgreeWithTshark(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute; the long run has it")
	}
	paths, _ := filepath.Glob("../../../shared/pcaps/dns/*.pcap")
	if len(paths) == 0 {
		t.Skip("the folder of captures is not on this machine")
	}
	if _, err := exec.LookPath("tshark"); err != nil {
		testgate.Skip(t, "tshark is not installed (apt-get install tshark): ", err)
	}
	compared, answers := 0, 0
	for _, path := range paths {
		c, a := namesAgree(t, path)
		compared, answers = compared+c, answers+a
	}
	t.Logf("%d messages compared, %d answers", compared, answers)
	if compared < 5000 || answers < 1300 {
		t.Errorf("only %d messages, %d answers", compared, answers)
	}
}

// namesAgree compares one file, and says how many messages and how many answers these were.
func namesAgree(t *testing.T, path string) (compared, answers int) {
	t.Helper()
	got, _ := sensorDNS(t, path)
	want := make(map[string][]string)
	var odd []string // packets that are not compared
	for _, d := range tsharkDNS(t, path) {
		if !d.whole() {
			odd = append(odd, d.key())
			continue
		}
		compared++
		if word := d.word(); word != "" {
			want[d.key()] = append(want[d.key()], word)
		}
	}
	for _, key := range odd {
		delete(want, key)
		delete(got, key)
	}
	for key, words := range want {
		slices.Sort(words)
		slices.Sort(got[key])
		if !slices.Equal(got[key], words) {
			t.Errorf("%s %s\ngot  %q\nwant %q", filepath.Base(path), key, got[key], words)
		}
		answers += len(words)
		delete(got, key)
	}
	for key, words := range got {
		t.Errorf("%s %s\ngot  %q, which tshark does not see", filepath.Base(path), key, words)
	}
	return compared, answers
}
