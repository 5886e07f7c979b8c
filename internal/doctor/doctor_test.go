package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"flowsensor/internal/capture"
	"flowsensor/internal/daemon"
	"flowsensor/internal/doctor"
	"flowsensor/internal/frame"
	"flowsensor/internal/seal"
	"flowsensor/internal/sensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// box is a machine made of facts.
type box struct {
	dir        string // of configuration, key and state
	config     string
	files      map[string]string
	folders    map[string][]string
	stats      map[string]doctor.File
	statErrs   map[string]error
	space      doctor.Space
	account    *doctor.Account
	interfaces []capture.Interface
	cards      []doctor.Card // one after the other, the last stays
	memory     uint64
	cpus       int
	kernel     string
	features   doctor.Features
	featureErr error
	clock      doctor.Clock
	programErr error
	unit       map[string]string
	unitErr    error
	daemon     *sensor.Snapshot
	answer     doctor.Answer
	probeErr   error
	waits      int
	watched    string // of softnet_stat, from the second wait on
}

func (b *box) ReadFile(path string) (string, error) {
	if text, there := b.files[path]; there {
		return text, nil
	}
	return "", fs.ErrNotExist
}
func (b *box) List(path string) []string { return b.folders[path] }
func (b *box) Stat(path string) (doctor.File, error) {
	if err := b.statErrs[path]; err != nil {
		return doctor.File{}, err
	}
	if f, there := b.stats[path]; there {
		return f, nil
	}
	return doctor.NewMachine("").Stat(path)
}
func (b *box) Space(string) (doctor.Space, error) { return b.space, nil }
func (b *box) Account(string) (doctor.Account, error) {
	if b.account == nil {
		return doctor.Account{}, errors.New("unknown user")
	}
	return *b.account, nil
}
func (b *box) Interfaces() ([]capture.Interface, error) { return b.interfaces, nil }
func (b *box) Card(string) (doctor.Card, error) {
	if len(b.cards) == 0 {
		return doctor.Card{}, errors.New("no such interface")
	}
	return b.cards[0], nil
}
func (b *box) Memory() (uint64, error)                                 { return b.memory, nil }
func (b *box) CPUs() int                                               { return b.cpus }
func (b *box) Kernel() (string, error)                                 { return b.kernel, nil }
func (b *box) Features() (doctor.Features, error)                      { return b.features, b.featureErr }
func (b *box) Clock() (doctor.Clock, error)                            { return b.clock, nil }
func (b *box) Program(string) error                                    { return b.programErr }
func (b *box) Unit(context.Context, string) (map[string]string, error) { return b.unit, b.unitErr }
func (b *box) Probe(context.Context, string, string, seal.Key) (doctor.Answer, error) {
	return b.answer, b.probeErr
}

func (b *box) Wait(context.Context, time.Duration) {
	if len(b.cards) > 1 {
		b.cards = b.cards[1:]
	}
	if b.waits++; b.waits == 2 && b.watched != "" {
		b.files["/proc/net/softnet_stat"] = b.watched
	}
}

func (b *box) Daemon(context.Context) (*sensor.Snapshot, error) {
	if b.daemon == nil {
		return nil, errors.New("no daemon answers")
	}
	return b.daemon, nil
}

const daemonPID = 4711

// healthy is a machine where all is well: two queues, two workers, a sensor that runs.
func healthy(t *testing.T) *box {
	t.Helper()
	dir := t.TempDir()
	key, err := sensor.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "key"), []byte(key), 0o640), os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	return &box{
		dir: dir,
		config: fmt.Sprintf("id = \"edge-1\"\nstate_dir = %q\n[[interface]]\nname = \"eth1\"\nworkers = 2\n[capture]\nfanout = \"hash\"\n"+
			"[export]\ncollector = [\"192.0.2.9:9999\"]\nkey_file = %q\n", dir, filepath.Join(dir, "key")),
		files: map[string]string{
			"/proc/4711/status":                    "Name:\tflow-sensor\nCapEff:\t0000000000002000\nCpus_allowed_list:\t0-3\n",
			"/proc/net/softnet_stat":               "00001000 00000000 0000000a 00000000\n00001000 00000000 00000000 00000000\n",
			"/proc/irq/30/effective_affinity_list": "0\n", "/proc/irq/31/effective_affinity_list": "1\n", "/proc/irq/32/effective_affinity_list": "2\n",
			"/proc/sys/net/core/netdev_max_backlog": "2000\n",
		},
		folders:  map[string][]string{"/sys/class/net/eth1/device/msi_irqs": {"30", "31", "32"}},
		stats:    map[string]doctor.File{},
		statErrs: map[string]error{},
		space:    doctor.Space{Free: 100 << 30, Total: 200 << 30, FreeInodes: 1e6, AllInodes: 2e6},
		account:  &doctor.Account{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())},
		interfaces: []capture.Interface{{
			Name: "eth1", Index: 2, State: capture.LinkUp, MTU: 1500, Promiscuity: 1, Driver: "igb", LinkType: frame.Ethernet,
			Offloads: capture.Offloads{GRO: capture.Off, LRO: capture.Off},
		}},
		cards:  []doctor.Card{{Queues: 2, RingSize: 256, RingMax: 4096, Received: 1e9}},
		memory: 8 << 30, cpus: 4, kernel: "6.12.1-amd64",
		clock: doctor.Clock{Synchronised: true, MaxError: 5 * time.Millisecond},
		unit: map[string]string{
			"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NRestarts": "0", "AmbientCapabilities": "cap_net_raw",
		},
		daemon: &sensor.Snapshot{Interfaces: []sensor.InterfaceStatus{{Name: "eth1", Received: 1e6, Sample: 1}}, Export: sensor.ExportStatus{SentRecords: 10}},
		answer: doctor.Answer{From: "192.0.2.9:9999", RoundTrip: time.Millisecond, Offset: 3 * time.Millisecond},
	}
}

func (b *box) path() string { return filepath.Join(b.dir, "sensor.toml") }

func (b *box) examine(t *testing.T) []doctor.Result {
	t.Helper()
	if b.daemon != nil {
		b.daemon.PID = daemonPID
	}
	if err := os.WriteFile(b.path(), []byte(b.config), 0o644); err != nil {
		t.Fatal(err)
	}
	return doctor.Examine(t.Context(), b, b.path())
}

func (b *box) set(old, line string) {
	if !strings.Contains(b.config, old) {
		panic(old)
	}
	b.config = strings.Replace(b.config, old, line, 1)
}

func TestHealthy(t *testing.T) {
	results := healthy(t).examine(t)
	seen := make(map[string]bool)
	for _, r := range results {
		seen[r.Check] = true
		if r.State != doctor.OK || r.Do != "" || r.What == "" || strings.Contains(r.What+r.Do, "\n") {
			t.Errorf("%+v", r)
		}
	}
	if len(seen) != 21 {
		t.Errorf("%d checks: %v", len(seen), slices.Sorted(maps.Keys(seen)))
	}
	if err := doctor.Verdict(results, doctor.Warning); err != nil {
		t.Error(err)
	}
}

// Each case breaks one thing, and one check says so: its state, and words of what it says or has one do. No other check
// becomes a problem by it.
func TestSick(t *testing.T) {
	key := func(b *box) string { return filepath.Join(b.dir, "key") }
	for name, c := range map[string]struct {
		harm  func(*box)
		check string
		state doctor.State
		want  string
	}{
		"configuration": {func(b *box) { b.set("workers = 2", "workers = -2") }, "configuration", doctor.Problem, "sensor.toml:5: interface[0].workers"},
		"no systemd":    {func(b *box) { b.unit, b.unitErr = nil, doctor.ErrNoSystemd }, "service", doctor.Skipped, "systemd"},
		"not installed": {func(b *box) { b.unit["LoadState"] = "not-found" }, "service", doctor.Warning, "not installed"},
		"failed":        {func(b *box) { b.unit["ActiveState"], b.unit["Result"] = "failed", "watchdog" }, "service", doctor.Problem, "watchdog"},
		"stopped":       {func(b *box) { b.unit["ActiveState"] = "inactive" }, "service", doctor.Problem, "systemctl enable --now flow-sensor.service"},
		"not enabled":   {func(b *box) { b.unit["UnitFileState"] = "disabled" }, "service", doctor.Warning, "systemctl enable"},
		"restarted":     {func(b *box) { b.unit["NRestarts"] = "3" }, "service", doctor.Warning, "restarted 3 times"},
		"no capability": {func(b *box) { b.daemon, b.unit, b.unitErr, b.featureErr = nil, nil, doctor.ErrNoSystemd, syscall.EPERM }, "privilege", doctor.Problem, "setcap"},
		"unit without":  {func(b *box) { b.daemon, b.unit["AmbientCapabilities"], b.featureErr = nil, "", syscall.EPERM }, "privilege", doctor.Problem, "does not grant"},
		"lost capability": {func(b *box) {
			b.files["/proc/4711/status"] = "CapEff:\t0000000000000000\n"
			b.unit["AmbientCapabilities"], b.featureErr = "", syscall.EPERM
		}, "privilege", doctor.Problem, "AmbientCapabilities="},
		"ancient kernel":    {func(b *box) { b.kernel = "3.10.0-1160.el7" }, "kernel", doctor.Problem, "Linux 4.18"},
		"no V3":             {func(b *box) { b.features.TPacketV3 = syscall.EINVAL }, "kernel", doctor.Problem, "refuses TPACKET_V3"},
		"no vnet":           {func(b *box) { b.features.VnetHeader = syscall.EINVAL }, "kernel", doctor.Problem, "PACKET_VNET_HDR"},
		"no fanout":         {func(b *box) { b.features.FanoutCBPF = syscall.EINVAL }, "kernel", doctor.Problem, "PACKET_FANOUT_CBPF"},
		"may not try":       {func(b *box) { b.featureErr = syscall.EPERM }, "kernel", doctor.Skipped, "cannot be tried"},
		"no tcpdump":        {func(b *box) { b.set("[capture]", "[capture]\nfilter = \"udp\""); b.programErr = fs.ErrNotExist }, "programs", doctor.Problem, "apt install tcpdump"},
		"missing":           {func(b *box) { b.interfaces, b.cards = nil, nil }, "interface", doctor.Problem, "flow-sensor interfaces"},
		"down":              {func(b *box) { b.interfaces[0].State = capture.LinkDown }, "interface", doctor.Problem, "ip link set eth1 up"},
		"no carrier":        {func(b *box) { b.interfaces[0].State = capture.LinkNoCarrier }, "interface", doctor.Problem, "cable"},
		"odd link type":     {func(b *box) { b.interfaces[0].Refusal = errors.New("link-layer type can") }, "interface", doctor.Problem, "another interface"},
		"not promiscuous":   {func(b *box) { b.interfaces[0].Promiscuity = 0 }, "promiscuous", doctor.Problem, "nobody holds"},
		"promiscuous later": {func(b *box) { b.interfaces[0].Promiscuity, b.daemon = 0, nil }, "promiscuous", doctor.Skipped, "when it starts"},
		"promiscuous off":   {func(b *box) { b.set("[capture]", "[capture]\npromiscuous = false") }, "promiscuous", doctor.Warning, "promiscuous = true"},
		"gro, old kernel":   {func(b *box) { b.interfaces[0].Offloads.GRO, b.kernel = capture.On, "6.1.0" }, "offloads", doctor.Warning, "ethtool -K eth1 gro off"},
		"lro":               {func(b *box) { b.interfaces[0].Offloads.LRO = capture.On }, "offloads", doctor.Warning, "ethtool -K eth1 lro off"},
		"too long":          {func(b *box) { b.cards[0].TooLong = 12 }, "mtu", doctor.Problem, "mtu 9216"},
		"small mtu":         {func(b *box) { b.interfaces[0].MTU = 1400 }, "mtu", doctor.Warning, "mtu 1500"},
		"one queue":         {func(b *box) { b.cards[0].Queues = 1 }, "queues", doctor.Warning, "ethtool -L eth1 combined 2"},
		"no queues known":   {func(b *box) { b.cards[0].Queues = 0 }, "queues", doctor.Skipped, "does not tell"},
		"queues by qm":      {func(b *box) { b.set(`"hash"`, `"qm"`); b.cards[0].Queues = 1 }, "queues", doctor.Warning, `fanout = "flow"`},
		"uneven queues":     {func(b *box) { b.set(`"hash"`, `"qm"`); b.cards[0].Queues = 3 }, "queues", doctor.Warning, "evenly"},
		"interrupts": {func(b *box) {
			for _, n := range []string{"31", "32"} {
				b.files["/proc/irq/"+n+"/effective_affinity_list"] = "0\n"
			}
		}, "irq", doctor.Warning, "irqbalance"},
		"no interrupts":      {func(b *box) { b.folders = nil }, "irq", doctor.Skipped, "virtual"},
		"few cores":          {func(b *box) { b.files["/proc/4711/status"] = "CapEff: 2000\nCpus_allowed_list:\t3\n" }, "workers", doctor.Warning, "more workers (2) than cores (1)"},
		"few cores, stopped": {func(b *box) { b.daemon, b.cpus = nil, 1 }, "workers", doctor.Warning, "more workers (2) than cores (1)"},
		"losing":             {func(b *box) { b.cards = append(b.cards, b.cards[0]); b.cards[1].Missed = 9 }, "card-drops", doctor.Problem, "9 in the last second (missed 9)"},
		"has lost":           {func(b *box) { b.cards[0].Dropped = 1e6 }, "card-drops", doctor.Warning, "ethtool -G eth1 rx 4096 (it has 256)"},
		"driver's own count": {func(b *box) {
			b.cards = append(b.cards, b.cards[0])
			b.cards[1].Stats = map[string]uint64{"rx_out_of_buffer": 5, "tx_dropped": 9}
		}, "card-drops", doctor.Problem, "rx_out_of_buffer 5"},
		"ring drops":         {func(b *box) { b.daemon.Interfaces[0].Dropped = 5 }, "ring-drops", doctor.Warning, "5 of 1000000"},
		"many ring drops":    {func(b *box) { b.daemon.Interfaces[0].Dropped = 5000 }, "ring-drops", doctor.Problem, "ring_size"},
		"sampled":            {func(b *box) { b.daemon.Interfaces[0].Sample = 10 }, "ring-drops", doctor.Warning, "one packet in 10"},
		"stalled":            {func(b *box) { b.daemon.Stalled = []string{"worker eth1/0"} }, "ring-drops", doctor.Problem, "no progress: worker eth1/0"},
		"not running":        {func(b *box) { b.daemon = nil }, "ring-drops", doctor.Skipped, "no daemon answers"},
		"backlog full":       {func(b *box) { b.watched = "0 0000001f 0\n" }, "backlog", doctor.Problem, "31 packets lost in the last second"},
		"backlog was full":   {func(b *box) { b.files["/proc/net/softnet_stat"] = "0 00000010 0\n" }, "backlog", doctor.Warning, "netdev_max_backlog=20000"},
		"backlog unreadable": {func(b *box) { b.files["/proc/net/softnet_stat"] = "x y z\n" }, "backlog", doctor.Skipped, "cannot be read"},
		"rings too large":    {func(b *box) { b.memory = 256 << 20 }, "memory", doctor.Problem, "ring_size"},
		"tables too large":   {func(b *box) { b.set("[export]", "[flows]\nmax_flows = 16777216\n[export]"); b.memory = 2 << 30 }, "memory", doctor.Problem, "max_flows"},
		"queue too large":    {func(b *box) { b.set("[export]", "[export]\nqueue = 65536"); b.memory = 4 << 30 }, "memory", doctor.Problem, "export.queue"},
		"memory is tight":    {func(b *box) { b.set("[export]", "[flows]\nmax_flows = 2097152\n[export]"); b.memory = 400 << 20 }, "memory", doctor.Warning, "more than half"},
		"no key":             {func(b *box) { _ = os.Remove(key(b)) }, "key", doctor.Problem, "keygen"},
		"key for everyone":   {func(b *box) { _ = os.Chmod(key(b), 0o644) }, "key", doctor.Problem, "chmod 0640"},
		"key unreadable": {func(b *box) {
			b.account = &doctor.Account{UID: 999, GID: 999}
			b.stats[b.dir] = doctor.File{Mode: fs.ModeDir | 0o700, UID: 999}
		}, "key", doctor.Problem, "chown root:flow-sensor"},
		"key is none":     {func(b *box) { _ = os.WriteFile(key(b), []byte("x"), 0o640) }, "key", doctor.Problem, "keygen"},
		"key hidden":      {func(b *box) { b.statErrs[key(b)] = fs.ErrPermission }, "key", doctor.Skipped, "as root"},
		"key folder open": {func(b *box) { b.stats[b.dir] = doctor.File{Mode: fs.ModeDir | 0o702} }, "key", doctor.Problem, "chmod o-w"},
		"state missing":   {func(b *box) { b.statErrs[b.dir] = fs.ErrNotExist }, "state", doctor.Skipped, "not there yet"},
		"state is a file": {func(b *box) { b.stats[b.dir] = doctor.File{Mode: 0o600} }, "state", doctor.Problem, "not a directory"},
		"state of another": {func(b *box) {
			b.account = &doctor.Account{UID: 999, GID: 999}
			b.stats[key(b)] = doctor.File{Mode: 0o640, GID: 999}
		}, "state", doctor.Problem, "chown -R flow-sensor:"},
		"state for all":       {func(b *box) { b.stats[b.dir] = doctor.File{Mode: fs.ModeDir | 0o755} }, "state", doctor.Warning, "chmod 0700"},
		"disk full":           {func(b *box) { b.space.Free = 1 << 20 }, "state", doctor.Problem, "disk is full"},
		"disk nearly full":    {func(b *box) { b.space.Free = 100 << 20 }, "state", doctor.Warning, "spool may still grow"},
		"inodes":              {func(b *box) { b.space.FreeInodes = 10 }, "state", doctor.Warning, "inodes"},
		"clock not kept":      {func(b *box) { b.clock.Synchronised = false }, "ntp", doctor.Warning, "chrony"},
		"clock vague":         {func(b *box) { b.clock.MaxError = 9 * time.Second }, "ntp", doctor.Warning, "may be off by 9s"},
		"collector refused":   {func(b *box) { b.probeErr = fmt.Errorf("read: %w", syscall.ECONNREFUSED) }, "collector", doctor.Problem, "nothing listens"},
		"collector away":      {func(b *box) { b.probeErr = syscall.EHOSTUNREACH }, "collector", doctor.Problem, "routes"},
		"collector silent":    {func(b *box) { b.probeErr = doctor.ErrNoAnswer }, "collector", doctor.Problem, `does not know id "edge-1" with this key`},
		"collector's name":    {func(b *box) { b.probeErr = errors.New("no such host") }, "collector", doctor.Problem, "export.collector"},
		"collector, clock":    {func(b *box) { b.answer.Refused, b.answer.Offset = true, 9*time.Second }, "collector", doctor.Problem, "ours minus its is +9s"},
		"clocks drift":        {func(b *box) { b.answer.Offset = -2 * time.Second }, "collector", doctor.Warning, "-2s"},
		"fire and forget":     {func(b *box) { b.set("[export]", "[export]\ndelivery = \"fire-and-forget\"") }, "delivery", doctor.Warning, "acknowledged"},
		"held":                {func(b *box) { b.daemon.Export.Held = true }, "delivery", doctor.Problem, "held back"},
		"given up":            {func(b *box) { b.daemon.Export.Dropped = map[string]uint64{"spool_full": 3, "queue_full": 0} }, "delivery", doctor.Problem, "spool_size"},
		"given up, otherwise": {func(b *box) { b.daemon.Export.Dropped = map[string]uint64{"seal_error": 3} }, "delivery", doctor.Problem, "journalctl"},
		"spool fails":         {func(b *box) { b.daemon.Export.SpoolFailures = 2 }, "delivery", doctor.Problem, "disk"},
		"spool nearly full": {func(b *box) {
			b.set("[export]", "[export]\nspool_size = \"1MiB\"")
			b.daemon.Export.SpoolBytes = 1 << 20
		}, "delivery", doctor.Warning, "nearly full"},
	} {
		t.Run(name, func(t *testing.T) {
			b := healthy(t)
			c.harm(b)
			results := b.examine(t)
			if !slices.ContainsFunc(results, func(r doctor.Result) bool {
				return r.Check == c.check && r.State == c.state && strings.Contains(r.What+" -> "+r.Do, c.want) && (r.Do != "" || r.State < doctor.Warning)
			}) {
				t.Errorf("no %v of %s with %q and something to do in %+v", c.state, c.check, c.want, results)
			}
			if i := slices.IndexFunc(results, func(r doctor.Result) bool { return r.Check != c.check && r.State == doctor.Problem }); i >= 0 {
				t.Errorf("another becomes a problem too: %+v", results[i])
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	of := func(states ...doctor.State) (all []doctor.Result) {
		for _, s := range states {
			all = append(all, doctor.Result{Check: "x", State: s})
		}
		return all
	}
	for _, c := range []struct {
		results []doctor.Result
		least   doctor.State
		want    int
	}{
		{of(doctor.OK, doctor.Skipped), doctor.Warning, daemon.ExitOK},
		{of(doctor.OK, doctor.Warning), doctor.Warning, daemon.ExitFailure},
		{of(doctor.OK, doctor.Warning), doctor.Problem, daemon.ExitOK},
		{of(doctor.Problem, doctor.OK), doctor.Problem, daemon.ExitFailure},
		{append([]doctor.Result{{Check: "configuration", State: doctor.Problem}}, of(doctor.OK)...), doctor.Problem, daemon.ExitConfig},
	} {
		if got := daemon.ExitCode(doctor.Verdict(c.results, c.least)); got != c.want {
			t.Errorf("%v, fails on %v: %d, want %d", c.results, c.least, got, c.want)
		}
	}
}
