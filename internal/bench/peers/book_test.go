package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/bench/trace"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.of); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.of, got, c.want)
		}
	}
}

func sample() *book {
	b := &book{}
	add := func(name, whole string, warm, packets uint64, spent map[string][]float64) {
		m := material{loops: 1, whole: whole, warmSum: trace.Summary{Packets: warm}, sum: trace.Summary{Packets: packets, Flows: 1000, Octets: packets * 71}}
		e := b.enter(race{name: name, title: name}, m)
		for who, all := range spent {
			for _, ns := range all {
				e.note(io.Discard, who, outcome{perPacket: ns, steady: ns, rate: 900_000, memory: memory{peak: 300 << 20, anon: 150 << 20}}, nil)
			}
		}
	}
	add(liveRealName, "", 0, 2_840_000, map[string][]float64{ourName: {100, 400, 110}, "nfpcapd": {500, 800, 550}, "softflowd": {300, 300, 300}})
	add(live1K, "", 1000, 2_000_000, map[string][]float64{ourName: {50}})
	add(live1M, "", 1_000_000, 2_000_000, map[string][]float64{ourName: {150}})
	add(file1K, "f", 0, 2_000_000, map[string][]float64{ourName: {50}})
	add(file1M, "f", 0, 3_000_000, map[string][]float64{ourName: {150}, "nfpcapd": {2000}, "softflowd": {900}})
	add(file10M, "f", 0, 15_000_000, map[string][]float64{ourName: {100}})
	return b
}

// TestRatioIsOfNeighbours: a machine that is slow for a while is slow for both.
func TestRatioIsOfNeighbours(t *testing.T) {
	if got := sample().find(liveRealName).ratio("nfpcapd"); got != 0.2 {
		t.Errorf("the ratio is %v, want 0.2: the median of 100/500, 400/800 and 110/550", got)
	}
}

func TestBestPeer(t *testing.T) {
	b := sample()
	if got := b.find(file1M).best(); got != "softflowd" {
		t.Errorf("the best is %s, want softflowd: it spent least of the peers", got)
	}
	if got := b.bestSoFar(); got != "softflowd" {
		t.Errorf("the best so far is %s, want that of the last race with several peers", got)
	}
	best := race{against: []string{bestPeer}}
	if best.has("nfpcapd", b) || !best.has("softflowd", b) {
		t.Error("the best peer is not the one that runs")
	}
	if got := (&book{}).bestSoFar(); got != firstPeer {
		t.Errorf("before any race the best is %s", got)
	}
}

func TestReport(t *testing.T) {
	b := sample()
	b.find(live1K).note(io.Discard, "argus", outcome{}, errors.New("argus: signal: segmentation fault"))
	var out strings.Builder
	if err := report(&out, conditions{machine: "a machine", versions: []string{"argus 3"}, cores: cores{"0", "1"}, seed: 1}, b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| live, live-real | 2.84 M | 1 K | 71 | 3 | 110 | 550, **0.20** | 300, **0.37** |  |\n",
		"| live, live-1k | 2.00 M | 1 K | 71 | 1 | 50 |  |  | failed |\n",
		"argus failed in live-1k: argus: signal: segmentation fault\n",
		"| live, live-1m | 900 | 0 |  |  |  |\n",
		"| live, live-1m | 300, 150 |  |  |  |\n",
		"| live, live-1m | 150 | 3.00 |\n",
		"| file, file-10m | 100 | 2.00 |\n",
		"| live, real-like: share of softflowd's CPU | 0.30 | 0.37, **missed** |\n",
		"| live: 1 M flows against 1 K | 2.50 | 3.00, **missed** |\n",
		"| memory with 1 M flows, rings apart, MiB | 200 | 150 |\n",
		"| live, real-like: packets lost, % | 0 | 0.000 |\n",
		"the program under test on core 1",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestPaceLeavesTimeForEveryRace(t *testing.T) {
	p := pace{deadline: time.Now().Add(time.Minute), ahead: 40 * time.Second}
	p.passed(10*time.Second, 10*time.Second) // as fast as listed, 30 s of other races ahead
	if !p.allows(10 * time.Second) {
		t.Error("another 10 s do not fit into a minute with 30 s ahead")
	}
	if p.allows(31 * time.Second) {
		t.Error("another 31 s fit into a minute with 30 s ahead")
	}
	p.passed(0, 20*time.Second) // three times slower than listed
	if p.allows(time.Second) {
		t.Error("another round fits although the races ahead need 90 s")
	}
}

func TestRacesByName(t *testing.T) {
	o := options{only: []string{file1M}}
	if races, err := o.races(); err != nil || len(races) != 1 || races[0].name != file1M {
		t.Errorf("got %v, %v", races, err)
	}
	o.only = []string{"file-2m"}
	if _, err := o.races(); err == nil {
		t.Error("a race that does not exist was found")
	}
	o = options{quick: true}
	races, err := o.races()
	if err != nil || len(races) == 0 || len(races) == len(allRaces()) {
		t.Errorf("%d quick races of %d, %v", len(races), len(allRaces()), err)
	}
}
