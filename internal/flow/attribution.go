package flow

import (
	"fmt"
	"strconv"
)

// Attribution is what the collector made of one record: who is client and who serves, and whose they are. It is plain,
// and a function of the record and the configuration alone, so that a record that is delivered again is attributed alike.
// The roles come from the rules; AS numbers and names are empty until the stage that knows them fills them in.
type Attribution struct {
	// Client and Server are the two addresses of the record, of the record's IP version.
	Client, Server Addr
	// ClientPort is the port at the client's end, 0 for protocols without ports.
	ClientPort uint16
	// ServicePort names the service, 0 for protocols without ports. It is the server's port unless a rule says otherwise.
	ServicePort uint16
	// ClientNetwork and ServerNetwork are the first configured networks that hold the addresses.
	ClientNetwork, ServerNetwork NetworkID
	// Class is the service port with the many unlisted high ones taken together.
	Class ServiceClass
	// Direction is that of the record's packets, by the networks that are ours.
	Direction Direction
	// Evidence is what the roles rest on.
	Evidence Evidence
	// FromServer is set where the record's source is the server; otherwise its source is the client.
	FromServer bool
	// Drop is set where a rule discards the record. All else is filled in nevertheless.
	Drop bool

	// ClientAS and ServerAS are autonomous system numbers, 0 when unknown, and the names go with them.
	ClientAS, ServerAS         uint32
	ClientASName, ServerASName string
	// ServerName is the name under which the client asked for the server, "" when unknown.
	ServerName string
}

// NetworkID stands for a network's name in the Networks that came with it. Prefixes of one name share one id.
type NetworkID uint16

// UnknownNetwork is the network of an address that no configured prefix holds.
const UnknownNetwork NetworkID = 0

// Networks lists the networks by their ids; the first is UnknownNetwork.
type Networks []Network

// Network is a named group of prefixes.
type Network struct {
	Name string
	Ours bool // the operator's own: what the direction goes by
}

// Name gives the network's name, "unknown" for UnknownNetwork and for an id that is not listed.
func (n Networks) Name(id NetworkID) string {
	if id == UnknownNetwork || int(id) >= len(n) {
		return UnknownNetworkName
	}
	return n[id].Name
}

// UnknownNetworkName is how UnknownNetwork is written. No configured network may have it.
const UnknownNetworkName = "unknown"

// ServiceClass is a service port, with all high ports that nobody listed as one: small enough a set for a tag. A number
// from 1 to 65535 is that port.
type ServiceClass uint32

// The classes that are not ports.
const (
	ClassNone ServiceClass = 0       // the protocol has no ports, or they were not seen
	ClassHigh ServiceClass = 1 << 16 // a port from 1024 that is not listed
)

func (c ServiceClass) String() string {
	switch {
	case c == ClassNone:
		return "none"
	case c < ClassHigh:
		return strconv.FormatUint(uint64(c), 10)
	default:
		return "high"
	}
}

// Direction says which way a record's packets went between the networks that are ours and all others.
type Direction uint8

// The directions. The zero value stands where no network is marked as ours.
const (
	DirectionUnknown Direction = iota
	DirectionIn                // from others to ours
	DirectionOut               // from ours to others
	DirectionLocal             // between ours
	DirectionTransit           // between others
	// Directions is how many there are.
	Directions = int(iota)
)

var directionNames = [Directions]string{"unknown", "in", "out", "local", "transit"}

func (d Direction) String() string {
	if int(d) < Directions {
		return directionNames[d]
	}
	return fmt.Sprintf("Direction(%d)", uint8(d))
}

// Evidence says what the roles rest on. It indexes counter arrays of length Evidences.
type Evidence uint8

// The kinds of evidence. The zero value is invalid: the record was not attributed.
const (
	_                 Evidence = iota
	EvidenceHandshake          // who sent the SYN without ACK, or the ICMP request
	EvidenceRule               // a rule that names ports or sides
	EvidenceLowerPort          // the lower port serves
	EvidenceTie                // the ports are equal, or there are none: a convention
	// Evidences is how many there are, the zero value included.
	Evidences = int(iota)
)

var evidenceNames = [Evidences]string{"none", "handshake", "rule", "lower_port", "tie"}

func (e Evidence) String() string {
	if int(e) < Evidences {
		return evidenceNames[e]
	}
	return fmt.Sprintf("Evidence(%d)", uint8(e))
}
