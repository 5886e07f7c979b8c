package main

import (
	"fmt"
	"regexp"
	"syscall"

	"flowsensor/internal/seal"
)

// ourName is flow-sensor as the peers are, without acknowledgement, and ackedName as it is installed.
const (
	ourName   = "flow-sensor"
	ackedName = "flow-sensor, acknowledged"
)

const sensorID = "bench"

const ourConfig = `id = "` + sensorID + `"
state_dir = %[1]q
[[interface]]
name = %[2]q
[capture]
workers = 1
ring_size = "%[3]dB"
[flows]
max_flows = %[4]d
active_timeout = "%[5]ds"
inactive_timeout = "%[6]ds"
[export]
collector = [%[7]q]
key_file = %[8]q
delivery = %[9]q
[http]
listen = ""
[log]
format = "json"
`

// ours is flow-sensor with one worker and sealed datagrams that are sent once: no peer has acknowledgements.
func ours(program string, key seal.Key) contestant {
	return flowSensor(program, export{name: ourName, collector: sinkAddress, delivery: "fire-and-forget", key: key})
}

// acked is flow-sensor as it is installed, but for one worker.
func acked(program string, key seal.Key) contestant {
	return flowSensor(program, export{name: ackedName, collector: collectorAddress, delivery: "acknowledged", key: key})
}

// export is what our contestants differ in.
type export struct {
	name, collector, delivery string
	key                       seal.Key
}

func flowSensor(program string, to export) contestant {
	return contestant{
		name:    to.name,
		version: []string{program, "version"},
		command: func(j job) ([]string, error) {
			config := j.path("sensor.toml")
			if err := writeOurs(j, config, to); err != nil {
				return nil, err
			}
			if j.file != "" {
				return []string{program, "read", "--send", "--ledger", "--config", config, j.file}, nil
			}
			return []string{program, "run", "--config", config}, nil
		},
		end:       syscall.SIGTERM,
		sends:     true,
		accounted: regexp.MustCompile(`(?s)^.*?"accounted": ?(\d+)`), // in the ledger packets come before bytes
		received:  regexp.MustCompile(`"received":(\d+)`),
		dropped:   regexp.MustCompile(`"ring_dropped":(\d+)`),
	}
}

func writeOurs(j job, path string, to export) error {
	key := j.path("bench.key")
	if err := write(key, to.key.Encode()+"\n"); err != nil {
		return err
	}
	iface := j.iface
	if iface == "" {
		iface = "eth0" // a configuration names one, even to read files with
	}
	const defaultFlows = 1 << 20
	return write(path, fmt.Sprintf(ourConfig, j.dir, iface, buffer, max(defaultFlows, j.flows), active, inactive, to.collector, key, to.delivery))
}
