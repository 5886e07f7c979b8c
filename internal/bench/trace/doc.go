// Package trace makes captures by seed, as classic pcap files: one like the traffic of a real network, and crowds of a
// given number of flows at a time. The same seed gives the same octets on every machine.
//
// The race against the peers calls it, nothing else does. Nothing here is safe for concurrent use.
package trace
