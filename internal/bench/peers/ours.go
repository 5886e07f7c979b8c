package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"regexp"
	"syscall"
)

const ourName = "flow-sensor"

const ourConfig = `id = "bench"
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
delivery = "fire-and-forget"
[http]
listen = ""
[log]
format = "json"
`

// ours is flow-sensor as it is installed, with one worker and sealed datagrams, but for acknowledgement: the sink gives none, and no
// peer has it.
func ours(program string) contestant {
	return contestant{
		name:    ourName,
		version: []string{program, "version"},
		command: func(j job) ([]string, error) {
			config := j.path("sensor.toml")
			if err := writeOurs(j, config); err != nil {
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

func writeOurs(j job, path string) error {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	key := j.path("bench.key")
	if err := write(key, base64.URLEncoding.EncodeToString(secret)+"\n"); err != nil {
		return err
	}
	iface := j.iface
	if iface == "" {
		iface = "eth0" // a configuration names one, even to read files with
	}
	const defaultFlows = 1 << 20
	return write(path, fmt.Sprintf(ourConfig, j.dir, iface, buffer, max(defaultFlows, j.flows), active, inactive, sinkAddress, key))
}
