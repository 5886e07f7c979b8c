package collector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"

	"flowsensor/internal/attribute"
	"flowsensor/internal/enrich"
	"flowsensor/internal/flow"
	"flowsensor/internal/journal"
	"flowsensor/internal/metrics"
	"flowsensor/internal/rollup"
	"flowsensor/internal/setting"
	"flowsensor/internal/store"
)

// rollups is what the reader's batches become on their way to the store: attributed records, and rows of what they add
// up to. Each shard has its own. A reload takes effect at the next full edge of each.
type rollups struct {
	config  atomic.Pointer[rollupSetup]
	pool    *store.Pool
	origins *enrich.Origins
	names   *nameBook
	shards  int // as configured
	windows int // that the journal acknowledges together, until a restart

	mu    sync.Mutex // protects rollers
	rolls map[int]*roller
}

// rollupSetup is what a reload changes.
type rollupSetup struct {
	config RollupConfig
	digest string // of all that rows hang on
	rules  *attribute.Rules
	keep   func(*flow.Attribution, flow.Networks) bool
	idle   []setting.KeyError // what of the rules has no effect
}

// warn says once for each load what of the rules has no effect, as check does.
func (s *rollupSetup) warn(log *slog.Logger) {
	for _, w := range s.idle {
		log.Warn("a part of the configuration has no effect", "key", w.Key, "reason", w.Err)
	}
}

func newRollupSetup(c Config) (*rollupSetup, error) {
	rules, idle, err := newRules(c)
	if err != nil {
		return nil, err
	}
	if err := c.Rollup.rollup("", func(string, error) {}).Validate(); err != nil {
		return nil, configError(err)
	}
	text, err := json.Marshal([]any{c.Rollup, c.Networks, c.RoleRules, c.ServicePorts})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return &rollupSetup{config: c.Rollup, digest: hex.EncodeToString(sum[:8]), rules: rules, keep: c.Rollup.Flow.keep(), idle: idle}, nil
}

func newRollups(c Config) (*rollups, error) {
	setup, err := newRollupSetup(c)
	if err != nil {
		return nil, err
	}
	r := &rollups{shards: c.Journal.Shards, windows: c.Rollup.windows(), rolls: make(map[int]*roller)}
	r.config.Store(setup)
	return r, nil
}

// keep is the store's: which attributed records get points of their own.
func (r *rollups) keep(a *flow.Attribution, networks flow.Networks) bool {
	return r.config.Load().keep(a, networks)
}

// use makes windows from the next full edge on go by another configuration.
func (r *rollups) use(setup *rollupSetup) { r.config.Store(setup) }

// gatherer gives what a session of the reader gathers with. What an earlier session of the shard had gathered comes again.
func (r *rollups) gatherer(shard int) journal.Gatherer {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.rolls[shard]
	next := &roller{rollups: r}
	if shard > 0 || r.shards > 1 {
		next.name = strconv.Itoa(shard)
	}
	if old != nil {
		next.before = old.stats()
	}
	r.rolls[shard] = next
	return next
}

// roller gathers one session of one shard.
type roller struct {
	*rollups
	name   string      // the tag shard; empty where there is one
	before rollupStats // of earlier sessions

	// Of the reading goroutine, but for the statistics.
	setup    *rollupSetup
	networks flow.Networks
	underway bool // since the last full edge

	mu    sync.Mutex // protects that the two are exchanged
	stage *attribute.Stage
	shard *rollup.Shard
}

// Open implements journal.Gatherer.
func (r *roller) Open(number int64) {
	if !r.underway {
		r.underway = true
		r.prepare()
	}
	r.shard.Open(number, r.networks)
}

// prepare takes over a configuration that is new.
func (r *roller) prepare() {
	setup := r.config.Load()
	if setup == r.setup {
		return
	}
	shard, err := rollup.NewShard(setup.config.rollup(r.name, func(string, error) {}))
	if err != nil { // cannot happen: newRollupSetup validated it
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stage != nil {
		r.before.add(statsOf(r.stage, r.shard))
	}
	r.setup, r.stage, r.shard, r.networks = setup, attribute.NewStage(setup.rules), shard, setup.rules.Networks()
}

// Config implements journal.Gatherer.
func (r *roller) Config() string { return r.setup.digest }

// Add implements journal.Gatherer.
func (r *roller) Add(b *flow.Batch) {
	b.Attributions, b.Networks = b.Attributions[:0], nil
	if b.Content == flow.DNSAnswers {
		r.names.learn(b)
	}
	if b.Content != flow.Flows {
		return
	}
	b.Body = b.Body[:0] // it will no longer say what the records say
	b.Attributions, b.Networks = r.stage.Attribute(b.Attributions, b.Records), r.networks
	for i := range b.Records {
		r.origins.Enrich(&b.Records[i], &b.Attributions[i])
	}
	r.names.fill(b)
	r.shard.Add(b, b.Attributions)
}

// Close implements journal.Gatherer.
func (r *roller) Close(edge journal.Edge) func(context.Context) error {
	kind := rollup.Tick
	if edge == journal.Full {
		kind, r.underway = rollup.Full, false
	}
	inc := r.shard.Close(kind)
	return func(ctx context.Context) error {
		if err := r.pool.WriteRows(ctx, inc.Rows); err != nil {
			return err
		}
		inc.Release()
		return nil
	}
}

// rollupStats adds up what became of records here.
type rollupStats struct {
	attribute.Stats
	rollup rollup.Stats
}

func statsOf(stage *attribute.Stage, shard *rollup.Shard) rollupStats {
	return rollupStats{Stats: stage.Stats(), rollup: shard.Stats()}
}

func (s *rollupStats) add(o rollupStats) {
	for i, n := range o.Evidence {
		s.Evidence[i] += n
	}
	s.Dropped.Records += o.Dropped.Records
	s.Dropped.Packets += o.Dropped.Packets
	s.Dropped.Bytes += o.Dropped.Bytes
	s.rollup.Add(o.rollup)
}

// stats is safe for any goroutine.
func (r *roller) stats() rollupStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.before
	if r.stage != nil {
		s.add(statsOf(r.stage, r.shard))
	}
	return s
}

func (r *rollups) stats() (s rollupStats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.rolls {
		s.add(one.stats())
	}
	return s
}

// rollupMetricDefs are the metrics of the roll-ups. Batches that come again after an interruption are counted again.
var rollupMetricDefs = []metrics.Def{
	{Name: "attributed_records_total", Help: "Records by what their roles rest on.", Labels: []string{"evidence"}},
	{Name: "discarded_records_total", Help: "Records that a rule discards: they are in no measurement."},
	{Name: "discarded_packets_total", Help: "Packets in records that a rule discards."},
	{Name: "discarded_bytes_total", Help: "IP bytes in records that a rule discards."},
	{Name: "rolled_up_records_total", Help: "Records that went into the roll-ups."},
	{Name: "rolled_up_packets_total", Help: "Packets in records that went into the roll-ups."},
	{Name: "rolled_up_bytes_total", Help: "IP bytes in records that went into the roll-ups."},
	{Name: "rollup_invalid_records_total", Help: "Records that no sensor makes: they are dead letters."},
	{Name: "rollup_unusual_records_total", Help: "Records whose times are late, ahead or too long; none is lost by it.", Labels: []string{"reason"}},
	{Name: "rollup_uncounted_ports_total", Help: "Client ports that found no room to be told apart."},
	{Name: "rollup_keys_total", Help: "Keys admitted, those of each interval and window.", Labels: []string{"measurement"}},
	{Name: "rollup_overflow_total", Help: "Parts of records that went to the key other because a window was full.", Labels: []string{"measurement"}},
	{Name: "rollup_rows_total", Help: "Rows made.", Labels: []string{"measurement"}},
	{Name: "rollup_windows_total", Help: "Windows of journal time stored."},
	{Name: "rollup_changed_windows_total", Help: "Windows stored again under another configuration: some of their rows may stand twice."},
	{Name: "store_written_rows_total", Help: "Rows of roll-ups that are durable."},
	{Name: "store_dead_lettered_rows_total", Help: "Rows of roll-ups in the dead-letter file, by reason.", Labels: []string{"reason"}},
	{Name: "store_withheld_records_total", Help: "Records that were not wanted as points of their own, discarded ones included."},
	{Name: "store_withheld_packets_total", Help: "Packets in records that were not wanted as points of their own."},
	{Name: "store_withheld_bytes_total", Help: "IP bytes in records that were not wanted as points of their own."},
}

// read reads every metric of rollupMetricDefs.
func (r *rollups) read(reader journal.ReadStats, put metrics.Put) {
	s := r.stats()
	for e, n := range s.Evidence {
		put("attributed_records_total", float64(n), flow.Evidence(e).String())
	}
	put("discarded_records_total", float64(s.Dropped.Records))
	put("discarded_packets_total", float64(s.Dropped.Packets))
	put("discarded_bytes_total", float64(s.Dropped.Bytes))
	put("rolled_up_records_total", float64(s.rollup.Records))
	put("rolled_up_packets_total", float64(s.rollup.Packets))
	put("rolled_up_bytes_total", float64(s.rollup.Bytes))
	put("rollup_invalid_records_total", float64(s.rollup.Invalid))
	for reason, n := range s.rollup.Unusual {
		put("rollup_unusual_records_total", float64(n), rollup.Reason(reason).String())
	}
	put("rollup_uncounted_ports_total", float64(s.rollup.Uncounted))
	for m, one := range s.rollup.Measurements {
		name := rollup.Measurement(m).String()
		put("rollup_keys_total", float64(one.Keys), name)
		put("rollup_overflow_total", float64(one.Overflow), name)
		put("rollup_rows_total", float64(one.Rows), name)
	}
	put("rollup_windows_total", float64(reader.Windows))
	put("rollup_changed_windows_total", float64(reader.Changed))
	st := r.pool.Stats()
	put("store_written_rows_total", float64(st.Written.Rows))
	for reason, c := range st.DeadLettered {
		put("store_dead_lettered_rows_total", float64(c.Rows), store.DeadReason(reason).String())
	}
	put("store_withheld_records_total", float64(st.Withheld.Records))
	put("store_withheld_packets_total", float64(st.Withheld.Packets))
	put("store_withheld_bytes_total", float64(st.Withheld.Bytes))
}
