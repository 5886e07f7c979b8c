package doctor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"flowsensor/internal/capture"
	"flowsensor/internal/config"
)

// capNetRaw is CAP_NET_RAW of linux/capability.h.
const capNetRaw = 13

// checkPrivilege asks whether the service may capture; this process may be of less.
func checkPrivilege(ctx context.Context, p *patient) []Result {
	if p.daemon != nil {
		if held, known := p.holds(p.daemon.PID); known && held {
			return []Result{well("the sensor that runs has CAP_NET_RAW")}
		}
	}
	unit, err := p.Unit(ctx, p.unit())
	if err == nil && strings.Contains(strings.ToLower(unit["AmbientCapabilities"]), "cap_net_raw") {
		return []Result{well("%s grants CAP_NET_RAW", p.unit())}
	}
	const remedy = "run it by its unit, which grants it; or as root, or after `setcap cap_net_raw+ep` on the program"
	switch _, err := p.Features(); {
	case err == nil:
		return []Result{well("this user may open packet sockets")}
	case unit["LoadState"] == "loaded":
		return []Result{problem("%s does not grant CAP_NET_RAW", p.unit()).do("AmbientCapabilities=CAP_NET_RAW in the unit, or its drop-ins")}
	default:
		return []Result{problem("%v", err).do(remedy)}
	}
}

// holds reports whether a process has CAP_NET_RAW in effect.
func (p *patient) holds(pid int) (held, known bool) {
	value, known := p.field(fmt.Sprintf("/proc/%d/status", pid), "CapEff")
	if !known {
		return false, false
	}
	set, err := strconv.ParseUint(value, 16, 64)
	return set&(1<<capNetRaw) != 0, err == nil
}

// field gives a value of a file of lines such as "name: value".
func (p *patient) field(path, name string) (string, bool) {
	text, err := p.ReadFile(path)
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// checkKernel tries what a capture needs, or judges by the release where it may not.
func checkKernel(_ context.Context, p *patient) []Result {
	release, err := p.Kernel()
	if err != nil {
		return []Result{skipped("%v", err)}
	}
	results := []Result{well("Linux %s counts merged packets by their segments", release)}
	switch {
	case !capture.ReleaseAtLeast(release, 4, 3): // PACKET_FANOUT_CBPF; TPACKET_V3 came with 3.2
		results[0] = problem("Linux %s lacks what the capture needs", release).do("run Linux 4.18 or later")
	case !capture.ReleaseAtLeast(release, 6, 2):
		results[0] = well("Linux %s; merged packets (GRO) are counted by their segments from 6.2 on", release)
	}
	features, err := p.Features()
	if err != nil {
		return append(results, skipped("packet sockets cannot be tried by this user: %v", err).of("features"))
	}
	for _, f := range []struct {
		name string
		err  error
	}{{"TPACKET_V3", features.TPacketV3}, {"PACKET_VNET_HDR", features.VnetHeader}, {"PACKET_FANOUT_CBPF", features.FanoutCBPF}} {
		if f.err != nil {
			results = append(results, problem("a packet socket refuses %s: %v", f.name, f.err).of(f.name).do("run the distribution's kernel: this one was built without it, or a container forbids it"))
		}
	}
	if len(results) == 1 {
		results = append(results, well("packet sockets take TPACKET_V3, PACKET_VNET_HDR and PACKET_FANOUT_CBPF").of("features"))
	}
	return results
}

// checkPrograms looks for what the configuration asks of other programs.
func checkPrograms(_ context.Context, p *patient) []Result {
	filters := p.config.Capture.Filter != ""
	for _, ic := range p.config.Interfaces {
		filters = filters || ic.Filter != ""
	}
	if !filters {
		return []Result{well("no other program is needed")}
	}
	if err := p.Program("tcpdump"); err != nil {
		return []Result{problem("a filter is set, and tcpdump, which compiles it, is not to be found").do("apt install tcpdump, or dnf install tcpdump")}
	}
	return []Result{well("tcpdump compiles the filters")}
}

// checkWorkers holds the workers against the cores that the service may use.
func checkWorkers(_ context.Context, p *patient) []Result {
	if !p.valid {
		return []Result{skipped("the configuration is wrong")}
	}
	workers, cores := p.workers(), p.CPUs()
	if p.daemon != nil {
		if list, known := p.field(fmt.Sprintf("/proc/%d/status", p.daemon.PID), "Cpus_allowed_list"); known {
			cores = coresOf(list)
		}
	}
	switch {
	case workers == 0:
		return []Result{skipped("no interface is configured")}
	case workers > cores:
		return []Result{warning("more workers (%d) than cores (%d)", workers, cores).do("workers = %d in all, or give the service more cores (CPUAffinity= in its unit)", cores)}
	}
	return []Result{well("workers: %d, cores: %d", workers, cores)}
}

// Parts of the available memory that rings and tables may take, as the sensor itself holds them.
const (
	ringShare  = 4
	tableShare = 2
)

// checkMemory judges whether the next start finds its memory: what the sensor that runs has taken will be free then.
func checkMemory(_ context.Context, p *patient) []Result {
	if !p.valid {
		return []Result{skipped("the configuration is wrong")}
	}
	available, err := p.Memory()
	if err != nil {
		return []Result{skipped("%v", err)}
	}
	rings, tables := p.config.Memory()
	text := fmt.Sprintf("rings of %s and tables of up to %s", mebi(rings), mebi(tables))
	if p.daemon != nil {
		available += rings
		text += " (the sensor runs and has its rings)"
	}
	switch {
	case rings > available/ringShare:
		return []Result{problem("%s: the rings may take a quarter of the %s that is available", text, mebi(available)).do("make ring_size or workers smaller, or add memory")}
	case tables > available/tableShare:
		return []Result{problem("%s: the tables, with the queue to the sender, may take half of the %s that is available", text, mebi(available)).do("make max_flows or export.queue smaller, or add memory")}
	case rings+tables > available/2:
		return []Result{warning("%s take more than half of the %s that is available", text, mebi(available)).do("watch the memory, or make ring_size or max_flows smaller")}
	}
	return []Result{well("%s, %s available", text, mebi(available))}
}

func mebi(octets uint64) string { return config.Size(octets >> 20 << 20).String() }

// longestError is the uncertainty of the clock from which on it is as good as not set.
const longestError = time.Second

func checkNTP(_ context.Context, p *patient) []Result {
	clock, err := p.Clock()
	switch {
	case err != nil:
		return []Result{skipped("%v", err)}
	case !clock.Synchronised:
		return []Result{warning("the kernel says that nothing keeps this clock right").do("run chrony, ntpd or systemd-timesyncd; the collector refuses a clock that is 5 s off")}
	case clock.MaxError > longestError:
		return []Result{warning("the clock is kept, but may be off by %s", clock.MaxError.Round(time.Millisecond)).do("look at `chronyc tracking` or `timedatectl timesync-status`")}
	}
	return []Result{well("kept, at most %s off", clock.MaxError.Round(time.Millisecond))}
}

// ErrNoSystemd says that there is no systemd to ask.
var ErrNoSystemd = errors.New("systemd does not run this machine")

func checkService(ctx context.Context, p *patient) []Result {
	name := p.unit()
	unit, err := p.Unit(ctx, name)
	switch {
	case errors.Is(err, ErrNoSystemd):
		return []Result{skipped("%v", err).of(name)}
	case err != nil:
		return []Result{skipped("%v", err).of(name)}
	case unit["LoadState"] != "loaded":
		return []Result{warning("the unit is not installed").of(name).do("install the package, so that systemd keeps the sensor running")}
	case unit["ActiveState"] == "failed":
		return []Result{problem("it failed (%s, exit status %s)", unit["Result"], unit["ExecMainStatus"]).of(name).do("journalctl -u %s says why; then systemctl start %s", name, name)}
	case unit["ActiveState"] != "active":
		return []Result{problem("it is %s", orUnknown(unit["ActiveState"])).of(name).do("systemctl enable --now %s", name)}
	case unit["UnitFileState"] != "enabled":
		return []Result{warning("it runs, but does not start with the machine (%s)", orUnknown(unit["UnitFileState"])).of(name).do("systemctl enable %s", name)}
	}
	if n, err := strconv.Atoi(unit["NRestarts"]); err == nil && n > 0 {
		return []Result{warning("it runs, and was restarted %d times since it was started", n).of(name).do("journalctl -u %s says why", name)}
	}
	return []Result{well("it runs and starts with the machine").of(name)}
}
