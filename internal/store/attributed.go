package store

import (
	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"flowsensor/internal/flow"
)

// withhold reports whether a record is to get no line.
func (e *Encoder) withhold(b *flow.Batch, i int) bool {
	if i >= len(b.Attributions) {
		return false
	}
	a := &b.Attributions[i]
	return a.Drop || e.Keep != nil && !e.Keep(a, b.Networks)
}

// attribution adds what was made of a record, where it is known. These are fields: other rules must not turn a record that
// is written again into a second point.
func (e *Encoder) attribution(a *flow.Attribution, networks flow.Networks) {
	client, src, dst := "src", a.ClientASName, a.ServerASName
	if a.FromServer {
		client, src, dst = "dst", dst, src
	}
	e.string("src_as_name", src)
	e.string("dst_as_name", dst)
	e.string("server_name", a.ServerName)
	if a.Evidence == 0 {
		return
	}
	e.string("client", client)
	e.nonzero("service_port", int64(a.ServicePort))
	if a.Direction != flow.DirectionUnknown {
		e.string("direction", a.Direction.String())
	}
	if len(networks) > 1 {
		e.string("client_network", networks.Name(a.ClientNetwork))
		e.string("server_network", networks.Name(a.ServerNetwork))
	}
}

// string adds a text that may hold anything, if there is one.
func (e *Encoder) string(key, text string) {
	if text == "" {
		return
	}
	e.scratch = append(e.scratch[:0], tagValue(text)...)
	// What tagValue gives is valid text, which is all that a string value must be.
	value, _ := lineprotocol.NewValueFromBytes(lineprotocol.String, e.scratch)
	e.line.AddField(key, value)
}
