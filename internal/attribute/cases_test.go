package attribute_test

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"flowsensor/internal/attribute"
	"flowsensor/internal/flow"
)

const manual = "../../packaging/doc/flow-collector.md"

// The manual's table of cases is what is tested, row by row, against the networks that the manual gives.
func TestCasesOfTheManual(t *testing.T) {
	networks, cases := table(t, "network"), table(t, "rules")
	if len(networks) < 3 || len(cases) < 40 {
		t.Fatalf("%s: found %d networks and %d cases", manual, len(networks), len(cases))
	}
	var base attribute.Config
	for _, row := range networks {
		n := attribute.Network{Name: row[0], Ours: row[2] == "yes"}
		for text := range strings.SplitSeq(row[1], ", ") {
			n.Prefixes = append(n.Prefixes, netip.MustParsePrefix(text))
		}
		base.Networks = append(base.Networks, n)
	}
	for _, row := range cases {
		c := base
		c.Rules = parseRules(t, row[0])
		rules, _, err := attribute.Compile(c)
		if err != nil {
			t.Fatalf("%s: %v", row[0], err)
		}
		r := parseRecord(t, row[1])
		var a flow.Attribution
		rules.Attribute(&r, &a)
		want := strings.Join(row[2:], " | ")
		got := "dropped |  |  |  |  | "
		if !a.Drop {
			n := rules.Networks()
			got = fmt.Sprintf("%s | %s | %d | %s, %s | %s | %s", a.Client.Netip(r.Version), a.Server.Netip(r.Version), a.ServicePort,
				n.Name(a.ClientNetwork), n.Name(a.ServerNetwork), a.Direction, a.Evidence)
		}
		if got != want {
			t.Errorf("rules %s\nrecord %s\ngot  %s\nwant %s", row[0], row[1], got, want)
		}
		if (a.Server == r.Src) != a.FromServer && r.Src != r.Dst {
			t.Errorf("%s: from server is %t", row[1], a.FromServer)
		}
	}
}

// table gives the rows of the manual's table whose first column has that head.
func table(t *testing.T, head string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		switch {
		case cells[0] == head:
			inside = true
		case inside && cells[0] != "---":
			rows = append(rows, cells)
		}
	}
	return rows
}

func parseRules(t *testing.T, text string) (rules []attribute.Rule) {
	t.Helper()
	if text == "-" {
		return nil
	}
	for part := range strings.SplitSeq(text, "; ") {
		between, what, _ := strings.Cut(part, ": ")
		ends := strings.Fields(between)
		words := strings.Fields(what)
		action, ok := attribute.ParseAction(words[0])
		if !ok || len(ends) != 3 {
			t.Fatalf("cannot read the rule %q", part)
		}
		r := attribute.Rule{Source: parseNetwork(ends[0]), Destination: parseNetwork(ends[2]), BothWays: ends[1] == "<>", Action: action}
		for _, word := range words[1:] {
			key, value, _ := strings.Cut(word, "=")
			switch key {
			case "tie":
				r.Tie = parseSide(t, value)
			case "precedence":
				r.Precedence = parseSide(t, value)
			case "client":
				r.Client = parseSide(t, value)
			case "port":
				r.Port = parseSide(t, value)
			case "ports":
				for p := range strings.SplitSeq(value, ",") {
					r.Ports = append(r.Ports, uint16(number(t, p)))
				}
			case "drop":
				r.Drop = true
			default:
				t.Fatalf("cannot read %q in the rule %q", word, part)
			}
		}
		rules = append(rules, r)
	}
	return rules
}

func parseNetwork(text string) string {
	if text == "*" {
		return ""
	}
	return text
}

func parseSide(t *testing.T, text string) attribute.Side {
	t.Helper()
	side, ok := map[string]attribute.Side{"source": attribute.Source, "destination": attribute.Destination}[text]
	if !ok {
		t.Fatalf("%q is no side", text)
	}
	return side
}

var protocols = map[string]uint8{
	"tcp": flow.ProtoTCP, "udp": flow.ProtoUDP, "icmp": flow.ProtoICMP, "icmp6": flow.ProtoICMPv6, "gre": flow.ProtoGRE,
}

func parseRecord(t *testing.T, text string) flow.Record {
	t.Helper()
	words := strings.Fields(text)
	if len(words) < 4 || words[2] != ">" {
		t.Fatalf("cannot read the record %q", text)
	}
	r := flow.Record{Bytes: 40, Packets: 1, First: 1, Last: 1, EndReason: flow.EndIdle}
	r.Proto = protocols[words[0]]
	if words[0] == "tcp" || words[0] == "udp" {
		words[1], r.SrcPort = splitPort(t, words[1])
		words[3], r.DstPort = splitPort(t, words[3])
	}
	r.Src, r.Version = flow.AddrFrom(netip.MustParseAddr(words[1]))
	r.Dst, _ = flow.AddrFrom(netip.MustParseAddr(words[3]))
	for _, word := range words[4:] {
		kind, code, icmp := strings.Cut(word, "/")
		switch {
		case icmp:
			r.DstPort = uint16(number(t, kind)<<8 | number(t, code))
		case word == "syn":
			r.Handshake |= flow.SawSYN
		case word == "synack":
			r.Handshake |= flow.SawSYNACK
		default:
			t.Fatalf("cannot read %q in the record %q", word, text)
		}
	}
	if err := r.Validate(); err != nil || r.Proto == 0 {
		t.Fatalf("the record %q: %v", text, err)
	}
	return r
}

func splitPort(t *testing.T, text string) (addr string, port uint16) {
	t.Helper()
	colon := strings.LastIndexByte(text, ':')
	return text[:colon], uint16(number(t, text[colon+1:]))
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}
