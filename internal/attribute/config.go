package attribute

import (
	"fmt"
	"net/netip"
)

// Config is what Rules are made from. Networks and rules are ordered: the first that matches wins.
type Config struct {
	Networks []Network
	Rules    []Rule
	// ServicePorts are ports from 1024 that are a service class of their own; those below are anyhow.
	ServicePorts []uint16
}

// Network gives prefixes a name. Several may have one name.
type Network struct {
	Name     string
	Prefixes []netip.Prefix
	Ours     bool // the direction goes by it; alike in all of one name
}

// Rule says how the roles of some records are found. Where it does not match, the next is tried; behind the last stand
// ActionHandshake and ActionLowerPort, which take what is left.
type Rule struct {
	// Source and Destination are the names of the networks that the record's addresses must be in: "" is any,
	// flow.UnknownNetworkName is none of the configured ones.
	Source, Destination string
	// BothWays makes the rule match records of the other direction too, with all its sides exchanged.
	BothWays bool
	Action   Action
	// Tie is the side that serves where ActionLowerPort finds equal ports; SideUnset is the higher address, which does
	// not depend on the direction and takes a multicast group for what serves.
	Tie Side
	// Precedence is the side that serves where ActionPortMatch finds both ports; SideUnset is the lower port, then the
	// higher address.
	Precedence Side
	// Client is where ActionAssign has the client, and Port the side whose port is the service port.
	Client, Port Side
	// Ports are those that ActionPortMatch looks for, and the only service ports of ActionAssign, if there are any.
	Ports []uint16
	// Drop discards what ActionPortMatch or ActionAssign matches.
	Drop bool
}

// Action is how a rule finds the roles. The zero value is invalid.
type Action uint8

// The actions.
const (
	_ Action = iota
	// ActionHandshake: who sent the SYN without ACK is the client, and so is who sent an ICMP request. It does not match
	// where neither was seen, or both ends are clients by it.
	ActionHandshake
	// ActionLowerPort: the side of the lower port serves. It always matches.
	ActionLowerPort
	// ActionPortMatch: the side whose port is listed serves. It matches where one of the ports is listed.
	ActionPortMatch
	// ActionAssign: client and service port are where the rule says. It matches always, or for the listed service ports.
	ActionAssign
	actions = int(iota)
)

var actionNames = [actions]string{"", "handshake", "lower_port", "port_match", "assign"}

// ActionNames lists the actions as they are written in a configuration.
func ActionNames() []string { return actionNames[1:] }

// ParseAction gives the action of that name, and false where there is none.
func ParseAction(name string) (Action, bool) {
	for a, known := range actionNames {
		if known == name && a > 0 {
			return Action(a), true
		}
	}
	return 0, false
}

func (a Action) String() string {
	if a > 0 && int(a) < actions {
		return actionNames[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// Side is one end of a record.
type Side uint8

// The sides.
const (
	SideUnset Side = iota
	Source
	Destination
)

// other gives the opposite side; that of SideUnset is SideUnset.
func (s Side) other() Side {
	switch s {
	case Source:
		return Destination
	case Destination:
		return Source
	case SideUnset:
	}
	return SideUnset
}

// mirrored gives the rule as it reads for the records of the other direction.
func (r Rule) mirrored() Rule {
	r.Source, r.Destination = r.Destination, r.Source
	r.Tie, r.Precedence = r.Tie.other(), r.Precedence.other()
	r.Client, r.Port = r.Client.other(), r.Port.other()
	return r
}

// always reports whether the rule's action matches every record.
func (r *Rule) always() bool {
	return r.Action == ActionLowerPort || r.Action == ActionAssign && len(r.Ports) == 0
}
