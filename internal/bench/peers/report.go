package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// conditions are what the figures hold for.
type conditions struct {
	machine  string
	versions []string
	cores    cores
	seed     uint64
}

// page writes Markdown and keeps the first error.
type page struct {
	out io.Writer
	err error
}

func (p *page) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format, args...)
	}
}

// row writes a line of a table.
func (p *page) row(cells ...string) { p.printf("| %s |\n", strings.Join(cells, " | ")) }

// head writes a table's first two lines: a column of text, then columns of figures.
func (p *page) head(cells ...string) {
	p.printf("\n")
	p.row(cells...)
	p.printf("| --- |%s\n", strings.Repeat(" ---: |", len(cells)-1))
}

// report prints everything.
func report(out io.Writer, c conditions, b *book) error {
	p := &page{out: out}
	peers := b.peers()
	p.printf("## flow-sensor and its peers\n\n")
	p.conditions(c)
	p.cpu(b, peers)
	p.losses(b, peers)
	p.memory(b, peers)
	p.scaling(b)
	p.goals(b)
	p.failures(b)
	return p.err
}

func (p *page) conditions(c conditions) {
	p.printf("- %s; the machine may have had other work: ratios hold within this run alone\n", c.machine)
	p.printf("- %s\n", strings.Join(c.versions, ", "))
	where := "everything on the one core"
	if c.cores.program != "" {
		where = fmt.Sprintf("the program under test on core %s, the generator and the kernel's side of the cable on core %s", c.cores.program, c.cores.generator)
	}
	p.printf("- live: tcpreplay at top speed over a veth cable between two namespaces, offloads off; %s\n", where)
	p.printf("- CPU: user and system time of the program and its children by the kernel's account, over the packets that are in its flows; " +
		"live from the first packet to the program's end, from files the whole life; all flows exported at the end\n")
	p.printf("- flow-sensor: one worker, sealed datagrams to a UDP sink, sent once as the peers do; acknowledged: as it is installed, to a collector's receiver whose every batch is durable at once; softflowd, pmacctd: NetFlow v9 to the same sink, in the "+
		"clear; nfpcapd, argus: their own files. All: %d MiB of ring or buffer, tables large enough, active timeout %d s, inactive %d s "+
		"(argus: its own)\n", buffer>>20, active, inactive)
	p.printf("- captures by seed %d; live packets are whole, in files cut at %d octets. Crowds: small packets, evenly drawn flows, "+
		"each flow's first packet before all others\n", c.seed, snapped)
}

// cpu is the table of ratios.
func (p *page) cpu(b *book, peers []string) {
	p.printf("\n### CPU a packet: ns, and flow-sensor's share of each peer's\n")
	p.head(slices.Concat([]string{"capture", "packets", "flows", "octets", "rounds", ourName}, peers)...)
	for _, e := range b.entries {
		sum := e.material.warmSum
		sum.Packets, sum.Flows = e.material.packets(), sum.Flows+e.material.sum.Flows
		cells := []string{
			e.place() + ", " + e.race.title, count(sum.Packets), count(sum.Flows), fmt.Sprint(e.material.sum.Mean()),
			fmt.Sprint(len(e.rounds[ourName])), ns(e.median(ourName, perPacket)),
		}
		for _, peer := range peers {
			switch {
			case len(e.rounds[peer]) > 0:
				cells = append(cells, fmt.Sprintf("%s, **%.2f**", ns(e.median(peer, perPacket)), e.ratio(peer)))
			case e.failed[peer] != nil:
				cells = append(cells, "failed")
			default:
				cells = append(cells, "")
			}
		}
		p.row(cells...)
	}
}

// losses is the table of what live captures lost.
func (p *page) losses(b *book, peers []string) {
	everyone := append([]string{ourName}, peers...)
	p.section(b, isLive, "Packets sent and in no flow, live, %", append([]string{"sent, k/s"}, everyone...), func(e *entry) []string {
		cells := []string{fmt.Sprintf("%.0f", e.median(ourName, rate)/1000)}
		for _, who := range everyone {
			cells = append(cells, e.cell(who, lost, func(v float64) string {
				if v == 0 {
					return "0"
				}
				return fmt.Sprintf("%.2f", v*100)
			}))
		}
		return cells
	})
}

// memory is the table of memory.
func (p *page) memory(b *book, peers []string) {
	everyone := append([]string{ourName}, peers...)
	p.section(b, anyRace, "Memory at its highest, MiB: resident, and of it without mapped rings and files", everyone, func(e *entry) []string {
		var cells []string
		for _, who := range everyone {
			cells = append(cells, e.cell(who, peak, func(v float64) string {
				return fmt.Sprintf("%.0f, %.0f", v/(1<<20), e.median(who, anon)/(1<<20))
			}))
		}
		return cells
	})
}

// section is a table with a row for each race that is wanted.
func (p *page) section(b *book, want func(*entry) bool, title string, columns []string, cells func(*entry) []string) {
	if !slices.ContainsFunc(b.entries, want) {
		return
	}
	p.printf("\n### %s\n", title)
	p.head(append([]string{"capture"}, columns...)...)
	for _, e := range b.entries {
		if want(e) {
			p.row(append([]string{e.place() + ", " + e.race.title}, cells(e)...)...)
		}
	}
}

func isLive(e *entry) bool  { return e.material.whole == "" }
func anyRace(_ *entry) bool { return true }

// failures says what went wrong.
func (p *page) failures(b *book) {
	for _, e := range b.entries {
		for who, err := range e.failed {
			p.printf("\n%s failed in %s: %v\n", who, e.race.name, err)
		}
	}
}

// cell gives a figure, or nothing where it was not measured.
func (e *entry) cell(who string, figure func(outcome) float64, form func(float64) string) string {
	if len(e.rounds[who]) == 0 {
		return ""
	}
	return form(e.median(who, figure))
}

func (e *entry) place() string {
	if isLive(e) {
		return "live"
	}
	return "file"
}

// peers lists who was raced against, in the order of their first race.
func (b *book) peers() []string {
	var peers []string
	for _, name := range []string{ackedName, "nfpcapd", "softflowd", "pmacctd", "argus"} {
		raced := func(e *entry) bool { return len(e.rounds[name]) > 0 || e.failed[name] != nil }
		if slices.ContainsFunc(b.entries, raced) {
			peers = append(peers, name)
		}
	}
	return peers
}

func ns(v float64) string { return fmt.Sprintf("%.0f", v) }

// count writes a number short.
func count(n uint64) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%.2f M", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%.0f K", float64(n)/1e3)
	default:
		return fmt.Sprint(n)
	}
}
