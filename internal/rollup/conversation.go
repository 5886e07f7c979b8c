package rollup

import (
	"cmp"
	"slices"

	"flowsensor/internal/flow"
)

// conversationKey is a client's dealings with one service within an interval.
type conversationKey struct {
	client, server flow.Addr
	interval       int64
	sensor         uint32 // 0 where the tag is not configured
	port           uint16 // of the service
	proto, version uint8
}

func (k conversationKey) hash(seed uint64) uint64 {
	h := mix(seed, uint64(k.interval)^uint64(k.sensor)<<32)
	h = mix(h, k.client.Hi^k.server.Hi<<1)
	h = mix(h, k.client.Lo)
	h = mix(h, k.server.Lo)
	return mix(h, uint64(k.port)<<16|uint64(k.proto)<<8|uint64(k.version))
}

// conversation is what stands with the key. Networks and AS follow from the addresses, the class from the port.
type conversation struct {
	volume
	named                        int64 // when the record ended that the name came with
	serverName                   uint32
	clientASName, serverASName   uint32
	clientAS, serverAS           uint32
	ports                        uint32 // different ones at the client's end
	class                        flow.ServiceClass
	clientNetwork, serverNetwork flow.NetworkID
}

// conversations gathers the conversations of a window.
type conversations struct {
	measure[conversationKey, conversation]
	ports     *ports
	texts     *names // of servers and AS
	uncounted uint64
}

// maxPorts bounds the pairs of a conversation and a port that are told apart, whatever Top is.
const maxPorts = 1 << 22

func newConversations(seed uint64, c *Conversation) *conversations {
	return &conversations{
		measure: *newMeasure[conversationKey, conversation](seed, int64(c.Interval), admission*c.Top),
		ports:   newPorts(seed, min(max(64*c.Top, 1<<16), maxPorts)),
		texts:   newNames(2*admission*c.Top + 2),
	}
}

func (m *conversations) reset() {
	m.measure.reset()
	m.ports.reset()
	m.texts.reset()
	m.uncounted = 0
}

// addConversation adds the parts of one record.
func (s *Shard) addConversation(at *where, r *flow.Record, a *flow.Attribution) {
	m := s.conversations
	k := conversationKey{
		client: a.Client, server: a.Server, sensor: at.sensor, port: a.ServicePort, proto: r.Proto, version: r.Version,
	}
	if s.cfg.Conversation.Tags&TagSensor == 0 {
		k.sensor = 0
	}
	to := toServer
	if a.FromServer {
		to = toClient
	}
	for i := range s.parts {
		p := &s.parts[i]
		k.interval = p.interval
		c, number := m.cells.at(&k, m.limit)
		if c == nil {
			m.others.at(otherKey{interval: p.interval, sensor: k.sensor, proto: k.proto}).add(p, to)
			m.overflow++
			continue
		}
		c.add(p, to)
		m.describe(c, number, r.Last, a)
	}
}

// describe notes what is not part of the key.
func (m *conversations) describe(c *conversation, number uint32, last int64, a *flow.Attribution) {
	c.class, c.clientNetwork, c.serverNetwork = a.Class, a.ClientNetwork, a.ServerNetwork
	if a.Class != flow.ClassNone {
		switch m.ports.add(number, a.ClientPort) {
		case portNew:
			c.ports++
		case portNoRoom:
			m.uncounted++
		case portKnown:
		}
	}
	if a.ClientAS != 0 && c.clientAS == 0 {
		c.clientAS, c.clientASName = a.ClientAS, m.texts.number(a.ClientASName)
	}
	if a.ServerAS != 0 && c.serverAS == 0 {
		c.serverAS, c.serverASName = a.ServerAS, m.texts.number(a.ServerASName)
	}
	// The latest name, whatever the order of the records.
	if a.ServerName != "" && (c.serverName == 0 || last > c.named || last == c.named && a.ServerName > m.texts.list[c.serverName]) {
		c.serverName, c.named = m.texts.number(a.ServerName), last
	}
}

func (k *conversationKey) compare(o *conversationKey, names []string) int {
	return cmp.Or(
		cmp.Compare(k.interval, o.interval),
		compareNames(k.sensor, o.sensor, names),
		cmp.Compare(k.proto, o.proto),
		cmp.Compare(k.version, o.version),
		compareAddr(k.client, o.client),
		compareAddr(k.server, o.server),
		cmp.Compare(k.port, o.port),
	)
}

func compareAddr(a, b flow.Addr) int { return cmp.Or(cmp.Compare(a.Hi, b.Hi), cmp.Compare(a.Lo, b.Lo)) }

// keep gives the cells of the Top with the most bytes, and adds the rest to other.
func (inc *Increment) keep() []uint32 {
	m := inc.conversations
	cells := sorted(m.cells, func(a, b *conversationKey) int { return a.compare(b, inc.names) })
	top := inc.cfg.Conversation.Top
	if len(cells) <= top {
		return cells
	}
	// The sort is stable, so that of equals the lower key stays.
	slices.SortStableFunc(cells, func(a, b uint32) int {
		return cmp.Compare(m.cells.cell(b).value.totalBytes(), m.cells.cell(a).value.totalBytes())
	})
	for _, number := range cells[top:] {
		c := m.cells.cell(number)
		m.others.at(otherKey{interval: c.key.interval, sensor: c.key.sensor, proto: c.key.proto}).merge(&c.value.volume)
	}
	cells = cells[:top]
	slices.SortFunc(cells, func(a, b uint32) int { return m.cells.cell(a).key.compare(&m.cells.cell(b).key, inc.names) })
	return cells
}

// conversationRows makes the rows.
func (inc *Increment) conversationRows(w *rowWriter) {
	m, tags := inc.conversations, inc.cfg.Conversation.Tags
	for _, number := range inc.keep() {
		c := m.cells.cell(number)
		k, v := &c.key, &c.value
		w.begin(MeasureConversation)
		w.tag(tags&TagClientNetwork, "client_network", inc.networks.Name(v.clientNetwork))
		w.tag(tags&TagProto, "proto", protoText(k.proto))
		w.tag(tags&TagSensor, "sensor", inc.names[k.sensor])
		w.tag(tags&TagServerNetwork, "server_network", inc.networks.Name(v.serverNetwork))
		w.tag(tags&TagService, "service", v.class.String())
		w.text("client", k.client.Netip(k.version).String())
		w.text("server", k.server.Netip(k.version).String())
		w.int("service_port", uint64(k.port))
		w.sums(&v.volume)
		w.sides(&v.volume)
		w.int("client_ports", uint64(v.ports))
		w.known("client_as", v.clientAS, "client_as_name", m.texts.list[v.clientASName])
		w.known("server_as", v.serverAS, "server_as_name", m.texts.list[v.serverASName])
		w.text("server_name", m.texts.list[v.serverName])
		w.end(k.interval, m.interval)
	}
	inc.otherRows(w, &m.others, m.interval, func(k *otherKey) {
		w.begin(MeasureConversation)
		w.otherTags(tags, k, inc.names)
		w.text("client", other)
		w.text("server", other)
	})
}
