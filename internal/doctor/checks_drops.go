package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// growth is how long counts are watched for growing.
const growth = time.Second

// few is the share of packets, one in so many, below which old losses are no reason to worry.
const few = 100_000

// checkCardDrops looks twice: what was lost long ago, as before the interface was set up, is less than what is being lost.
func checkCardDrops(ctx context.Context, p *patient) (all []Result) {
	before := make(map[string]Card)
	for _, ic := range p.config.Interfaces {
		if card, err := p.Card(ic.Name); err == nil {
			before[ic.Name] = card
		}
	}
	if len(before) > 0 {
		p.Wait(ctx, growth)
	}
	for _, ic := range p.config.Interfaces {
		was, there := before[ic.Name]
		now, err := p.Card(ic.Name)
		if !there || err != nil {
			all = append(all, skipped("the interface cannot be asked").of(ic.Name))
			continue
		}
		all = append(all, cardDrops(ic.Name, was, now).of(ic.Name))
	}
	return all
}

func cardDrops(name string, was, now Card) Result {
	losses, grown := now.losses(), now.losses()
	for reason, n := range was.losses() {
		grown[reason] -= min(n, grown[reason])
	}
	lost, losing := sum(losses), sum(grown)
	more := "more queues and workers; a longer ring in the card: " + ringRemedy(name, now)
	switch {
	case losing > 0:
		return problem("it loses packets before the capture sees them: %d in the last second (%s)", losing, listed(grown)).do("%s", more)
	case lost > 0 && lost > now.Received/few:
		return warning("it has lost %d of %d packets since it was made (%s), none in the last second", lost, now.Received, listed(losses)).do("if it goes on: %s", more)
	}
	return well("%d packets received, %d lost", now.Received, lost)
}

func ringRemedy(name string, c Card) string {
	switch {
	case c.RingMax == 0:
		return "its driver tells no size"
	case c.RingSize < c.RingMax:
		return fmt.Sprintf("ethtool -G %s rx %d (it has %d)", name, c.RingMax, c.RingSize)
	default:
		return fmt.Sprintf("it has %d, which is the most", c.RingSize)
	}
}

// losses gives the counts that say of packets that they were lost, by reason. Drivers call theirs as they like; these words
// are in the names of those that ethtool(8) shows for Intel, Broadcom, Mellanox, virtio, veth and others.
func (c *Card) losses() map[string]uint64 {
	all := map[string]uint64{"errors": c.Errors, "dropped": c.Dropped, "missed": c.Missed, "fifo": c.FIFO}
	if sum(all) > 0 {
		return all // the driver's own say the same again, by other names
	}
	for name, n := range c.Stats {
		lower := strings.ToLower(name)
		receives := strings.Contains(lower, "rx")
		loses := false
		for _, word := range []string{"drop", "discard", "missed", "no_buf", "out_of_buffer", "fifo_err", "no_dma"} {
			loses = loses || strings.Contains(lower, word)
		}
		if receives && loses {
			all[name] = n
		}
	}
	return all
}

func sum(counts map[string]uint64) (total uint64) {
	for _, n := range counts {
		total += n
	}
	return total
}

func listed(counts map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
		}
	}
	return strings.Join(parts, ", ")
}

// checkRingDrops asks the sensor itself.
func checkRingDrops(_ context.Context, p *patient) (all []Result) {
	if p.daemon == nil {
		return []Result{skipped("the sensor does not run, or does not answer: %v", p.silence)}
	}
	for _, in := range p.daemon.Interfaces {
		all = append(all, ringDrops(in.Received, in.Dropped, in.Freezes).of(in.Name))
		if in.Sample > 1 {
			all = append(all, warning("one packet in %d is taken (capture.sample)", in.Sample).of(in.Name).do("sample = 1 where the machine can bear it"))
		}
	}
	if len(p.daemon.Stalled) > 0 {
		all = append(all, problem("no progress: %s", strings.Join(p.daemon.Stalled, ", ")).do("the watchdog restarts the service; if it does not: systemctl restart flow-sensor"))
	}
	return all
}

// many is the share of packets, one in so many, from which on drops are no mere burst.
const many = 1000

func ringDrops(received, dropped, freezes uint64) Result {
	const remedy = "more workers where there are cores, a larger ring_size for bursts, fewer packets by a filter, or sample"
	switch {
	case dropped == 0:
		return well("%d packets received, none dropped", received)
	case dropped > received/many:
		return problem("the ring had no room for %d of %d packets, in %d bursts", dropped, received, freezes).do(remedy)
	default:
		return warning("the ring had no room for %d of %d packets, in %d bursts", dropped, received, freezes).do(remedy)
	}
}

// checkBacklog looks at the queues between card and capture: only packets of devices without NAPI, and those spread by RPS,
// go through them.
func checkBacklog(ctx context.Context, p *patient) []Result {
	before, _, err := p.softnet()
	if err != nil {
		return []Result{skipped("%v", err)}
	}
	p.Wait(ctx, growth)
	dropped, squeezed, err := p.softnet()
	switch {
	case err != nil:
		return []Result{skipped("%v", err)}
	case dropped > before:
		return []Result{problem("the kernel's backlog is full: %d packets lost in the last second", dropped-before).
			do("sysctl -w net.core.netdev_max_backlog=%d, and put it into /etc/sysctl.d", 10*p.backlog())}
	case dropped > 0:
		return []Result{warning("the kernel's backlog was full: %d packets lost since boot, none in the last second", dropped).
			do("if it goes on: sysctl -w net.core.netdev_max_backlog=%d", 10*p.backlog())}
	}
	return []Result{well("nothing dropped, %d times out of time", squeezed)}
}

// softnet sums /proc/net/softnet_stat over the cores: hexadecimal, dropped is the second column, time_squeeze the third
// (softnet_seq_show in net/core/net-procfs.c).
func (p *patient) softnet() (dropped, squeezed uint64, err error) {
	text, err := p.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		d, errD := strconv.ParseUint(f[1], 16, 64)
		s, errS := strconv.ParseUint(f[2], 16, 64)
		if errD != nil || errS != nil {
			return 0, 0, fmt.Errorf("/proc/net/softnet_stat cannot be read: %q", line)
		}
		dropped, squeezed = dropped+d, squeezed+s
	}
	return dropped, squeezed, nil
}

// backlog is the setting of now, or the kernel's default.
func (p *patient) backlog() int {
	const usual = 1000
	text, err := p.ReadFile("/proc/sys/net/core/netdev_max_backlog")
	if err != nil {
		return usual
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 1 {
		return usual
	}
	return n
}
