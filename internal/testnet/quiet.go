package testnet

import (
	"fmt"
	"os"
	"path/filepath"
)

// Noise says how much the kernel talks on its own on a network.
type Noise uint8

// The kinds of noise.
const (
	// Silent networks carry what the test sends and nothing else: no IPv6 link-local addresses, duplicate address
	// detection, router solicitation or multicast listener report; neighbours are fixed and ARP is off.
	Silent Noise = iota
	// Chatty networks are as the kernel makes them: ARP, neighbour discovery and the rest.
	Chatty
	// deaf namespaces have no IPv6 at all: what is in them only passes frames on, or receives a mirror.
	deaf
)

// quieten sets what devices in the thread's namespace say unasked: "default" is what a device starts with, and some
// settings act by "all" alone.
func quieten(noise Noise) error {
	settings := map[string]string{}
	switch noise {
	case Chatty:
		return nil
	case deaf:
		settings["disable_ipv6"] = "1"
	case Silent:
		settings["accept_dad"] = "0"
		settings["dad_transmits"] = "0"
		settings["router_solicitations"] = "0"
		settings["accept_ra"] = "0"
		settings["addr_gen_mode"] = "1" // no link-local address
	}
	for name, value := range settings {
		for _, scope := range []string{"all", "default"} {
			path := filepath.Join("/proc/sys/net/ipv6/conf", scope, name)
			if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
				return fmt.Errorf("silence the kernel: %w", err)
			}
		}
	}
	return nil
}
