package collector

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/config"
	"flowsensor/internal/enrich"
	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
	"flowsensor/internal/store"
	"flowsensor/internal/store/files"
)

// rolled is a roller over a pool that writes files.
type rolled struct {
	*roller
	t    *testing.T
	dir  string
	stop func()
}

func newRolled(t *testing.T, c Config) *rolled {
	t.Helper()
	r, err := newRollups(c)
	if err != nil {
		t.Fatal(err)
	}
	explain(t, r, c)
	dir := t.TempDir()
	fc := files.DefaultConfig()
	fc.Dir = dir
	writer, err := files.Open(fc, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	dead, err := store.OpenDeadLetters(store.DeadLetterConfig{Path: filepath.Join(t.TempDir(), "dead"), MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r.pool, err = store.NewPool(c.Store.pool(), store.Deps{Writer: writer, DeadLetters: dead, Keep: r.keep, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return &rolled{
		roller: r.gatherer(0).(*roller), t: t, dir: dir,
		stop: func() { _, _ = writer.Close(), dead.Close() },
	}
}

// explain gives roll-ups what else they are told of records: with the defaults, nothing.
func explain(tb testing.TB, r *rollups, c Config) {
	tb.Helper()
	var err error
	if r.origins, err = enrich.Open(c.Enrich.enrich(slog.New(slog.DiscardHandler))); err != nil {
		tb.Fatal(err)
	}
	r.names = newNameBook(c.Names)
}

// window gathers one record from 10.0.0.1 to port 22 of 10.0.0.2 and closes.
func (r *rolled) window(number int64, edge journal.Edge) {
	r.t.Helper()
	r.Open(number)
	at := number * int64(window)
	r.Add(&flow.Batch{Sensor: "edge-1", Records: []flow.Record{{
		Key:   flow.Key{Version: 4, Src: flow.Addr{Lo: 0x0a000001}, Dst: flow.Addr{Lo: 0x0a000002}, SrcPort: 4000, DstPort: 22, Proto: flow.ProtoTCP},
		Bytes: 100, Packets: 1, First: at, Last: at, EndReason: flow.EndIdle,
	}}})
	if err := r.Close(edge)(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// rows gives the lines of a measurement.
func (r *rolled) rows(measurement string) (lines []string) {
	r.t.Helper()
	r.stop()
	paths, _ := filepath.Glob(filepath.Join(r.dir, "*.lp*"))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			r.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, measurement+",") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// What a reload brings holds from the first window after a full edge on.
func TestReloadAtWindowEdge(t *testing.T) {
	c := Defaults()
	r := newRolled(t, c)
	number := time.Now().UnixNano()/int64(window)/longestWindows*longestWindows + 1

	r.window(number, journal.Tick)
	before := r.Config()
	c.Networks = []NetworkConfig{{Name: "office", Prefixes: []string{"10.0.0.0/8"}, Ours: true}}
	setup, err := newRollupSetup(c)
	if err != nil {
		t.Fatal(err)
	}
	r.use(setup)
	r.window(number+1, journal.Full)
	if r.Config() != before {
		t.Error("a configuration changed in the midst of a window")
	}
	r.window(number+2, journal.Full)
	if r.Config() == before {
		t.Error("the new configuration has the digest of the old one")
	}
	if st := r.stats(); st.rollup.Records != 3 || st.Evidence[flow.EvidenceLowerPort] != 3 {
		t.Errorf("statistics begin anew with a configuration: %+v", st)
	}
	var networks []string
	for _, line := range r.rows("traffic") {
		_, after, _ := strings.Cut(line, "client_network=")
		network, _, _ := strings.Cut(after, ",")
		networks = append(networks, network)
	}
	if got := strings.Join(networks, " "); got != "unknown unknown office" {
		t.Errorf("networks %s", got)
	}
}

// Each shard has its tag, and the batches of one that another gathered before count on.
func TestShardTags(t *testing.T) {
	c := Defaults()
	c.Journal.Shards = 2
	r := newRolled(t, c)
	r.window(1000, journal.Full)
	r.roller = r.gatherer(1).(*roller)
	r.window(1000, journal.Full)
	r.roller = r.gatherer(0).(*roller)
	r.window(1001, journal.Full)
	if n := r.rollups.stats().rollup.Records; n != 3 {
		t.Errorf("%d records counted", n)
	}
	var shards []string
	for _, line := range r.rows("traffic") {
		_, after, _ := strings.Cut(line, "shard=")
		shards = append(shards, after[:1])
	}
	if got := strings.Join(shards, " "); got != "0 1 0" {
		t.Errorf("shards %s", got)
	}
}

// The records themselves can be left out, or limited to networks.
func TestKeep(t *testing.T) {
	networks := flow.Networks{{Name: "unknown"}, {Name: "office"}, {Name: "dmz"}}
	for name, c := range map[string]struct {
		config FlowConfig
		want   []bool // for client and server in office, in dmz, in none
	}{
		"all":      {FlowConfig{Enabled: true}, []bool{true, true, true}},
		"off":      {FlowConfig{Networks: []string{"office"}}, []bool{false, false, false}},
		"one":      {FlowConfig{Enabled: true, Networks: []string{"office"}}, []bool{true, false, false}},
		"unknown":  {FlowConfig{Enabled: true, Networks: []string{"unknown", "dmz"}}, []bool{false, true, true}},
		"not here": {FlowConfig{Enabled: true, Networks: []string{"gone"}}, []bool{false, false, false}},
	} {
		keep := c.config.keep()
		for i, network := range []flow.NetworkID{1, 2, 0} {
			if got := keep(&flow.Attribution{ClientNetwork: network, ServerNetwork: network}, networks); got != c.want[i] {
				t.Errorf("%s: network %s is %t", name, networks.Name(network), got)
			}
		}
	}
}

func TestWindows(t *testing.T) {
	for interval, want := range map[time.Duration]int{time.Second: 1, 10 * time.Second: 1, 30 * time.Second: 3, time.Minute: 6, time.Hour: 6} {
		c := defaultRollup()
		c.Conversation.Interval = config.Duration(interval)
		if got := c.windows(); got != want {
			t.Errorf("%s: %d windows, want %d", interval, got, want)
		}
	}
	c := defaultRollup()
	if c.Conversation.Enabled = false; c.windows() != 1 {
		t.Error("without conversations each window is acknowledged by itself")
	}
}

// What roll-ups cannot be made from is refused before a window opens with it.
func TestSetupIsValid(t *testing.T) {
	c := Defaults()
	c.Rollup.Traffic.MaxKeys = 0
	if _, err := newRollupSetup(c); err == nil {
		t.Error("no keys are enough")
	}
}
