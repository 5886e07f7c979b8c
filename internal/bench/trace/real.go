package trace

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// Real is traffic like that of an access network: names looked up, web connections of which most are small and few are
// large, QUIC and voice, scans and pings, a sixth of it IPv6.
type Real struct {
	Seed    uint64
	Flows   int
	Packets int
}

// realSpan is how long the capture lasts, in microseconds.
const realSpan = 300 * second

// The kinds of conversation. shares gives what each has of 100 flows; TCP has the rest.
type kind uint8

const (
	lookup kind = iota // one question, one answer
	scan               // a SYN that nobody answers
	ping
	quic
	voice
	web
)

var shares = [web]int{lookup: 40, scan: 8, ping: 4, quic: 7, voice: 3}

// fewest is how many packets a conversation of a kind has at least: for web a handshake, a request, an answer and its
// acknowledgement, and the end.
var fewest = [...]int{lookup: 2, scan: 1, ping: 2, quic: 4, voice: 4, web: 9}

// directions is how many flows a conversation of a kind is.
var directions = [...]int{lookup: 2, scan: 1, ping: 2, quic: 2, voice: 2, web: 2}

type conversation struct {
	kind    kind
	packets int
	start   int64
	lasts   int64
	client  end
	server  end
}

type end struct {
	addr netip.Addr
	port uint16
}

// Write writes the capture: exactly so many flows and packets.
func (r Real) Write(w io.Writer, snap int) (Summary, error) {
	all, err := r.conversations()
	if err != nil {
		return Summary{}, err
	}
	f := newFile(w, snap)
	for _, e := range schedule(all) {
		p := all[e.conversation].packet(int(e.number))
		f.add(e.at, &p)
	}
	f.sum.Flows = uint64(r.Flows)
	return f.close()
}

// conversations draws them all, then shares out the packets that the fewest leave.
func (r Real) conversations() ([]conversation, error) {
	rng := rand.New(rand.NewPCG(r.Seed, 1))
	var all []conversation
	flows, packets := 0, 0
	open := func(k kind) {
		c := conversation{kind: k, packets: fewest[k], start: rng.Int64N(realSpan * 9 / 10)}
		c.client, c.server = ends(k, len(all), rng)
		u := rng.Float64()
		c.lasts = min(int64(u*u*float64(15*second)), realSpan-c.start)
		all = append(all, c)
		flows += directions[k]
		packets += c.packets
	}
	for k, share := range shares {
		for range r.Flows * share / 100 / directions[k] {
			open(kind(k))
		}
	}
	for flows+directions[web] <= r.Flows {
		open(web)
	}
	for flows < r.Flows {
		open(scan)
	}
	if packets > r.Packets {
		return nil, fmt.Errorf("%d flows need %d packets at least, not %d", r.Flows, packets, r.Packets)
	}
	shareOut(all, r.Packets-packets, rng)
	return all, nil
}

// shareOut gives the conversations more packets, exactly so many, by a Pareto distribution: a few get most. Multiplication
// and division alone, no mathematical function, for those differ from machine to machine.
func shareOut(all []conversation, more int, rng *rand.Rand) {
	weights := make([]float64, len(all))
	var sum float64
	for i := range all {
		if all[i].kind > scan {
			weights[i] = min(1/(1-rng.Float64())-1, 10_000)
			sum += weights[i]
		}
	}
	left := more
	for i := range all {
		extra := int(float64(more) * weights[i] / sum)
		all[i].packets += extra
		left -= extra
	}
	for i := 0; left > 0; i = (i + 1) % len(all) {
		if weights[i] > 0 {
			all[i].packets++
			left--
		}
	}
}

// Numbers of hosts.
const (
	clients   = 4096
	servers   = 20_000
	resolvers = 4
)

// ends draws who talks to whom. The client's port numbers its conversations, so that no two have the same key; a ping is
// keyed by addresses alone, so each has a server of its own.
func ends(k kind, number int, rng *rand.Rand) (client, server end) {
	host, port := uint32(number%clients), uint16(number/clients)
	client.port = 1024 + port
	far := favourite(rng, servers)
	switch k {
	case lookup:
		far, server.port = uint32(rng.IntN(resolvers)), 53
	case scan:
		server.port = [...]uint16{22, 23, 445, 3389}[rng.IntN(4)]
	case ping:
		far, client.port, server.port = uint32(1<<20+number), 0, 0
	case voice:
		server.port = 10_000 + uint16(rng.IntN(1000))*2
	case quic:
		server.port = 443
	case web:
		server.port = [...]uint16{443, 443, 443, 80, 22, 993}[rng.IntN(6)]
	}
	if rng.IntN(6) == 0 {
		client.addr, server.addr = address6(1, host), address6(2, far)
		return client, server
	}
	client.addr, server.addr = address4(10<<24|host), address4(16<<24|far)
	return client, server
}

// favourite draws below n, small numbers far more often.
func favourite(rng *rand.Rand, n int) uint32 {
	u := rng.Float64()
	return uint32(float64(n) * u * u * u)
}

// event is when a packet of a conversation is sent.
type event struct {
	at           int64
	conversation uint32
	number       uint32
}

// schedule spreads each conversation's packets over its time and puts all in order.
func schedule(all []conversation) []event {
	var events []event
	for i, c := range all {
		for n := range c.packets {
			at := c.start + c.lasts*int64(n)/int64(c.packets)
			events = append(events, event{at, uint32(i), uint32(n)})
		}
	}
	slices.SortFunc(events, func(a, b event) int {
		switch {
		case a.at != b.at:
			return int(a.at - b.at)
		case a.conversation != b.conversation:
			return int(a.conversation) - int(b.conversation)
		default:
			return int(a.number) - int(b.number)
		}
	})
	return events
}
