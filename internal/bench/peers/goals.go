package main

import "fmt"

// scaling shows what flows cost: packets of flows that the table holds already.
func (p *page) scaling(b *book) {
	type row struct{ where, ns, of string }
	var rows []row
	for _, names := range [][]string{{live1K, live100K, live1M}, {file1K, file100K, file1M, file10M}} {
		base := b.find(names[0]).median(ourName, steady)
		for _, name := range names {
			if v := b.find(name).median(ourName, steady); v > 0 {
				e := b.find(name)
				rows = append(rows, row{e.place() + ", " + e.race.title, ns(v), ratioOf(v, base)})
			}
		}
	}
	if len(rows) == 0 {
		return
	}
	p.printf("\n### flow-sensor: CPU for a packet of a flow that is in the table\n")
	p.head("flows at a time", "ns", "of 1 K")
	for _, r := range rows {
		p.row(r.where, r.ns, r.of)
	}
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
		{"live: 1 M flows against 1 K", 2.5, b.scale(live1M, live1K), "%.2f"},
		{"file: 10 M flows against 1 K", 4, b.scale(file10M, file1K), "%.2f"},
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

// scale is how much more a packet of a flow in the table costs in one race than in another; 0 where not measured.
func (b *book) scale(more, less string) float64 {
	base := b.find(less).median(ourName, steady)
	if base == 0 {
		return 0
	}
	return b.find(more).median(ourName, steady) / base
}
