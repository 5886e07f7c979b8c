package sensor

import (
	"flowsensor/internal/capture"
	"flowsensor/internal/export"
	"flowsensor/internal/setting"
)

// What the tables and the queue to the sender may take: one part in tableShare of the memory that is available, at flowOctets
// a flow (flowtable's Config says so) and fragmentOctets a fragment.
const (
	tableShare     = 2
	flowOctets     = 119
	fragmentOctets = 64
	// leastFlows of a worker: below it every burst evicts.
	leastFlows = 256
)

// Memory is what the rings take, and what the tables with the queue to the sender may come to, in octets.
func (c *Config) Memory() (rings, tables uint64) {
	workers := uint64(max(c.workers(), 1))
	tables = uint64(c.Flows.MaxFlows)*flowOctets + workers*uint64(c.Flows.MaxFragments)*fragmentOctets + export.QueueOctets(c.Export.Queue)
	return uint64(c.workers()) * uint64(c.Capture.RingSize), tables
}

// checkMemory refuses rings and tables that the machine cannot bear. Tables become resident as they fill: what does not fit would
// only show under load.
func (c *Config) checkMemory() error {
	if err := capture.CheckMemory(c.captures(nil)...); err != nil {
		return setting.In("capture", err)
	}
	workers := max(c.workers(), 1)
	if share := c.Flows.MaxFlows / workers; share < leastFlows {
		return configError(setting.Errorf("flows.max_flows", "%d for %d workers leaves %d each, want at least %d", c.Flows.MaxFlows, workers, share, leastFlows))
	}
	available, err := capture.AvailableMemory()
	if err != nil {
		return err
	}
	_, need := c.Memory()
	if limit := available / tableShare; need > limit {
		return setting.Errorf("flows.max_flows", "the tables take %d MiB when full, with the queue to the sender, more than half of the available memory (%d of %d MiB): "+
			"make max_flows or export.queue smaller", need>>20, limit>>20, available>>20)
	}
	return nil
}
