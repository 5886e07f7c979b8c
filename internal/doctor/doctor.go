package doctor

import (
	"context"
	"path/filepath"
	"strings"

	"flowsensor/internal/capture"
	"flowsensor/internal/sensor"
)

// patient is what the checks are about.
type patient struct {
	Box
	config     sensor.Config
	path       string // of the configuration
	valid      bool   // whether it is: its numbers may be any otherwise
	interfaces map[string]capture.Interface
	daemon     *sensor.Snapshot // nil where none answers
	silence    error            // why none answers
	service    Account          // who runs the service
	named      bool             // whether there is such a user
}

// account is the user of the units.
const account = "flow-sensor"

// unit is that of the configuration.
func (p *patient) unit() string {
	name := strings.TrimSuffix(filepath.Base(p.path), ".toml")
	if name == "sensor" {
		return "flow-sensor.service"
	}
	return "flow-sensor@" + name + ".service"
}

// check is one of the things that are looked at.
type check struct {
	name string
	run  func(context.Context, *patient) []Result
}

// checks are all, in the order in which they are told: the first ones explain those after them.
func checks() []check {
	return []check{
		{"service", checkService},
		{"privilege", checkPrivilege},
		{"kernel", checkKernel},
		{"programs", checkPrograms},
		{"interface", eachInterface(checkInterface)},
		{"promiscuous", eachInterface(checkPromiscuous)},
		{"offloads", eachInterface(checkOffloads)},
		{"mtu", eachInterface(checkMTU)},
		{"queues", eachInterface(checkQueues)},
		{"irq", eachInterface(checkIRQs)},
		{"workers", checkWorkers},
		{"card-drops", checkCardDrops},
		{"ring-drops", checkRingDrops},
		{"backlog", checkBacklog},
		{"memory", checkMemory},
		{"key", checkKey},
		{"state", checkState},
		{"ntp", checkNTP},
		{"collector", checkCollectors},
		{"delivery", checkDelivery},
	}
}

// Examine runs all checks. A configuration that is wrong is the first result; what does not depend on it is looked at all
// the same.
func Examine(ctx context.Context, box Box, path string) []Result {
	p := &patient{Box: box, path: path}
	config, err := sensor.Load(path)
	p.config, p.valid = config, err == nil
	results := []Result{named("configuration", checkConfiguration(path, err))}
	p.daemon, p.silence = box.Daemon(ctx)
	p.service, err = box.Account(account)
	p.named = err == nil
	p.interfaces = make(map[string]capture.Interface)
	if all, err := box.Interfaces(); err == nil {
		for _, in := range all {
			p.interfaces[in.Name] = in
		}
	}
	for _, c := range checks() {
		for _, r := range c.run(ctx, p) {
			results = append(results, named(c.name, r))
		}
	}
	return results
}

func named(check string, r Result) Result {
	r.Check = check
	return r
}

// checkConfiguration is told first: the rest judges by what could be read.
func checkConfiguration(path string, err error) Result {
	if err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", "; ")
		return problem("%s", text).do("edit %s, then run `flow-sensor check`", path)
	}
	return well("%s is valid", path)
}

// eachInterface runs a check for each interface of the configuration that is there.
func eachInterface(run func(*patient, capture.Interface, sensor.InterfaceConfig) []Result) func(context.Context, *patient) []Result {
	return func(_ context.Context, p *patient) (all []Result) {
		for _, ic := range p.config.Interfaces {
			in, there := p.interfaces[ic.Name]
			if !there {
				in = capture.Interface{Name: ic.Name} // its state is LinkMissing
			}
			for _, r := range run(p, in, ic) {
				all = append(all, r.of(ic.Name))
			}
		}
		return all
	}
}

// workersOf is how many workers an interface has.
func (p *patient) workersOf(ic sensor.InterfaceConfig) int {
	if ic.Workers > 0 {
		return ic.Workers
	}
	return p.config.Capture.Workers
}

// workers is how many all interfaces have.
func (p *patient) workers() (n int) {
	for _, ic := range p.config.Interfaces {
		n += p.workersOf(ic)
	}
	return n
}
