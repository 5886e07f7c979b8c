package main

import "fmt"

// scaling shows what flows cost: packets of flows that the table holds already.
func (p *page) scaling(b *book) {
	base, fileBase := b.find(live1K).median(ourName, steady), b.find(file1K).median(ourName, perPacket)
	if base == 0 && fileBase == 0 {
		return
	}
	p.printf("\n### flow-sensor: CPU for a packet of a flow that is in the table\n")
	p.head("flows at a time", "ns", "of 1 K")
	for _, name := range []string{live1K, live100K, live1M} {
		if e := b.find(name); e.median(ourName, steady) > 0 {
			v := e.median(ourName, steady)
			p.row("live, "+e.race.title, ns(v), ratioOf(v, base))
		}
	}
	if huge := b.hugeSteady(); huge > 0 {
		p.row("file, 1 K flows", ns(fileBase), ratioOf(fileBase, fileBase))
		p.row("file, 10 M flows", ns(huge), ratioOf(huge, fileBase))
	}
}

// hugeSteady is what a packet costs after the first of each of ten million flows: the difference of two captures.
func (b *book) hugeSteady() float64 {
	whole, warm := b.find(file10M), b.find(file10MWarm)
	if whole.median(ourName, perPacket) == 0 || warm.median(ourName, perPacket) == 0 {
		return 0
	}
	all, first := float64(whole.material.packets()), float64(warm.material.packets())
	return (whole.median(ourName, perPacket)*all - warm.median(ourName, perPacket)*first) / (all - first)
}

func ratioOf(v, base float64) string {
	if base == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", v/base)
}

// goal is a figure that the project has set itself.
type goal struct {
	what  string
	limit float64
	got   float64 // 0 where the run does not tell
	form  string
}

// goals compares with what the project has set itself.
func (p *page) goals(b *book) {
	live, file := b.find(liveRealName), b.find(fileRealName)
	all := []goal{
		{"live, real-like: share of nfpcapd's CPU", 0.35, live.ratio(firstPeer), "%.2f"},
		{"live, real-like: share of softflowd's CPU", 0.3, live.ratio(secondPeer), "%.2f"},
		{"file, real-like: share of the best peer's CPU", 0.35, file.ratio(file.best()), "%.2f"},
		{"live: 1 M flows against 1 K", 2.5, quotient(b.find(live1M).median(ourName, steady), b.find(live1K).median(ourName, steady)), "%.2f"},
		{"file: 10 M flows against 1 K", 4, quotient(b.hugeSteady(), b.find(file1K).median(ourName, perPacket)), "%.2f"},
		{"memory with 1 M flows, rings apart, MiB", 200, b.find(live1M).median(ourName, anon) / (1 << 20), "%.0f"},
	}
	p.printf("\n### Goals\n")
	p.head("figure", "at most", "reached")
	for _, g := range all {
		if g.got > 0 {
			p.row(g.what, fmt.Sprintf(g.form, g.limit), fmt.Sprintf(g.form, g.got)+g.verdict())
		}
	}
	if live != nil {
		p.row("live, real-like: packets lost, %", "0", fmt.Sprintf("%.3f", live.median(ourName, lost)*100))
	}
}

func (g *goal) verdict() string {
	if g.got <= g.limit {
		return ""
	}
	return ", **missed**"
}

func quotient(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
