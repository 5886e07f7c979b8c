package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"flowsensor/internal/capture"
	"flowsensor/internal/sensor"
)

func checkInterface(_ *patient, in capture.Interface, _ sensor.InterfaceConfig) []Result {
	switch {
	case in.State == capture.LinkMissing:
		return []Result{problem("there is no interface of that name").do("`flow-sensor interfaces` lists them; put the right one into [[interface]]")}
	case in.Refusal != nil:
		return []Result{problem("%v", in.Refusal).do("capture on another interface")}
	case in.State == capture.LinkDown:
		return []Result{problem("it is set down: nothing is received").do("ip link set %s up, and have the system do so at boot", in.Name)}
	case in.State == capture.LinkNoCarrier:
		return []Result{problem("it is up but has no signal").do("look at the cable, and whether the switch's mirror port is switched on")}
	}
	return []Result{well("up, %s, driver %s", in.LinkType, orUnknown(in.Driver))}
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// missing skips what makes no sense without the interface.
func missing(in capture.Interface) []Result {
	if in.State == capture.LinkMissing {
		return []Result{skipped("the interface is missing")}
	}
	return nil
}

// checkPromiscuous reads back from the kernel: taking promiscuity is known to fail without a word.
func checkPromiscuous(p *patient, in capture.Interface, _ sensor.InterfaceConfig) []Result {
	if r := missing(in); r != nil {
		return r
	}
	switch {
	case !p.config.Capture.Promiscuous:
		return []Result{warning("capture.promiscuous is off: only what is addressed to this machine is received").do("a mirror port needs promiscuous = true")}
	case in.Promiscuity > 0:
		return []Result{well("the kernel says so; held by %d", in.Promiscuity)}
	case p.daemon == nil:
		return []Result{skipped("the sensor does not run, or does not answer: it takes promiscuity when it starts")}
	}
	return []Result{problem("the sensor runs, and the kernel says that nobody holds it promiscuous").
		do("systemctl restart flow-sensor; if it stays so, the driver cannot: use another card")}
}

func checkOffloads(p *patient, in capture.Interface, _ sensor.InterfaceConfig) []Result {
	if r := missing(in); r != nil {
		return r
	}
	release, err := p.Kernel()
	corrects := err == nil && p.config.Capture.Engine == capture.EngineRing && capture.ReleaseAtLeast(release, 6, 2)
	remedy := "before each start, as in examples/offloads.conf of the package's documents: " + in.Offloads.Remedy(in.Name)
	switch {
	case !in.Offloads.Merging():
		return []Result{well("GRO %s, LRO %s: packets are captured as they came", in.Offloads.GRO, in.Offloads.LRO)}
	case in.Offloads.LRO == capture.On:
		return []Result{warning("LRO merges packets in the card, and not every driver says of how many segments").do("%s", remedy)}
	case corrects:
		return []Result{well("GRO is on; the engine counts what was merged by its segment size")}
	case p.config.Capture.Engine != capture.EngineRing:
		return []Result{warning("GRO merges packets, and the engine %s counts merged ones as one", p.config.Capture.Engine).
			do(`set engine = "ring" on Linux 6.2 or later, or %s`, remedy)}
	}
	return []Result{warning("GRO merges packets, and before Linux 6.2 nothing tells of how many").do("%s", remedy)}
}

// usualMTU is Ethernet's.
const usualMTU = 1500

func checkMTU(p *patient, in capture.Interface, _ sensor.InterfaceConfig) []Result {
	if r := missing(in); r != nil {
		return r
	}
	card, err := p.Card(in.Name)
	larger := fmt.Sprintf("ip link set %s mtu 9216 (or the most that it takes), and have the system do so at boot", in.Name)
	switch {
	case err == nil && card.TooLong > 0:
		return []Result{problem("%d frames were longer than the card takes at an MTU of %d, and are lost", card.TooLong, in.MTU).do("%s", larger)}
	case in.MTU < usualMTU:
		return []Result{warning("the MTU is %d: full Ethernet frames are lost", in.MTU).do("ip link set %s mtu %d or more", in.Name, usualMTU)}
	case in.MTU == usualMTU:
		return []Result{well("MTU %d, nothing was too long; jumbo frames in the mirrored network would need more", in.MTU)}
	}
	return []Result{well("MTU %d", in.MTU)}
}

func checkQueues(p *patient, in capture.Interface, ic sensor.InterfaceConfig) []Result {
	if r := missing(in); r != nil {
		return r
	}
	workers := p.workersOf(ic)
	card, err := p.Card(in.Name)
	if err != nil || card.Queues == 0 {
		return []Result{skipped("the driver does not tell its receive queues")}
	}
	text := fmt.Sprintf("receive queues: %d, workers: %d, fanout by %s", card.Queues, workers, p.config.Capture.Fanout)
	switch {
	case p.config.Capture.Fanout == capture.FanoutQueue && card.Queues < workers:
		return []Result{warning("%s: some workers get nothing", text).do(`take workers = %d, or fanout = "flow"`, card.Queues)}
	case p.config.Capture.Fanout == capture.FanoutQueue && card.Queues%workers != 0:
		return []Result{warning("%s: they do not divide evenly", text).do("take as many workers as queues: ethtool -L %s combined %d", in.Name, workers)}
	case card.Queues == 1 && workers > 1:
		return []Result{warning("%s: one core takes in all packets before they are spread", text).
			do("ethtool -L %s combined %d where the card can, or spread by RPS: /sys/class/net/%s/queues/rx-0/rps_cpus", in.Name, workers, in.Name)}
	}
	return []Result{well("%s", text)}
}

// checkIRQs looks at which cores the card's interrupts go to.
func checkIRQs(p *patient, in capture.Interface, _ sensor.InterfaceConfig) []Result {
	if r := missing(in); r != nil {
		return r
	}
	irqs := p.List("/sys/class/net/" + in.Name + "/device/msi_irqs")
	cores, counted := make(map[string]bool), 0
	for _, irq := range irqs {
		list, err := p.ReadFile("/proc/irq/" + irq + "/effective_affinity_list")
		if err != nil {
			continue
		}
		counted++
		cores[strings.TrimSpace(list)] = true
	}
	switch {
	case counted == 0:
		return []Result{skipped("the card has no interrupts of its own that can be seen: a virtual device, or not allowed to look")}
	case counted > 2 && len(cores) == 1 && p.CPUs() > 1: // one of two is the link's
		for core := range cores {
			return []Result{warning("all %d interrupts go to core %s", counted, core).
				do("run irqbalance, or spread them: echo CORE > /proc/irq/%s/smp_affinity_list for each", irqs[0])}
		}
	}
	return []Result{well("interrupts: %d, cores they go to: %d", counted, len(cores))}
}

// coresOf counts a list of cores such as "0-3,8".
func coresOf(list string) (n int) {
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		first, last, span := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		to := from
		if span {
			if to, err = strconv.Atoi(last); err != nil {
				continue
			}
		}
		n += max(to-from+1, 0)
	}
	return n
}
