package dnsmsg

import (
	"errors"

	"golang.org/x/net/dns/dnsmessage"

	"flowsensor/internal/flow"
)

const (
	// maxRecords bounds the records of a response that are looked at.
	maxRecords = 256
	// maxAliases bounds the chain that is followed; resolvers give up between 8 and 16.
	maxAliases = 16
)

// Decoder reads messages. Make it with NewDecoder.
type Decoder struct {
	counters counters
	buffer   []byte
	known    known
	scratch  flow.DNSAnswer
	header   dnsmessage.ResourceHeader // of the record that is visited
}

// NewDecoder makes a Decoder.
func NewDecoder() *Decoder { return &Decoder{known: newKnown()} }

// Message reads one message and counts it. On OK it has set all of a that the message tells: the question, its type, the
// response code, the chain and the addresses; client, server, version and time are the caller's.
func (d *Decoder) Message(message []byte, a *flow.DNSAnswer) Reason {
	return d.counters.count(d.message(message, a))
}

func (d *Decoder) message(message []byte, a *flow.DNSAnswer) Reason {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	switch {
	case err != nil:
		return Malformed
	case !h.Response:
		return Query
	case h.OpCode != 0:
		return OtherOp
	case h.Truncated:
		return Truncated
	}
	q, r := question(&p)
	if r != OK {
		return r
	}
	name, ok := d.text(&q.Name)
	if !ok {
		return Name
	}
	a.Question, a.QType, a.RCode, a.Chain, a.Addresses = name, uint16(q.Type), uint16(h.RCode), nil, nil
	end := alias{name: q.Name, ttl: flow.MaxDNSTTL}
	after, r := d.chain(p, a, &end)
	if r != OK {
		return r
	}
	if r := d.addresses(p, a, &end); r != OK || len(a.Addresses) > 0 {
		return r
	}
	return d.negative(after, h, a)
}

// question gives the only question of a response.
func question(p *dnsmessage.Parser) (dnsmessage.Question, Reason) {
	q, err := p.Question()
	switch {
	case errors.Is(err, dnsmessage.ErrSectionDone):
		return q, Question
	case err != nil:
		return q, Malformed
	case q.Class != dnsmessage.ClassINET:
		return q, Class
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return q, Question
	}
	return q, OK
}

// alias is where a chain of aliases has come to.
type alias struct {
	name  dnsmessage.Name
	ttl   uint32 // the least on the way
	links int
}

// chain follows the aliases to their end. They stand in order mostly; where they do not, it takes another turn, up to one
// for each alias. The parser is a copy, set to the answer section; it comes back set behind it.
func (d *Decoder) chain(start dnsmessage.Parser, a *flow.DNSAnswer, end *alias) (dnsmessage.Parser, Reason) {
	cut := false
	for {
		p, before := start, end.links
		err := d.walk(&p, answers, func(h *dnsmessage.ResourceHeader) error {
			if h.Type != dnsmessage.TypeCNAME || !same(&h.Name, &end.name) {
				return answers.skip(&p)
			}
			target, err := p.CNAMEResource()
			if err != nil {
				return err
			}
			if end.links++; end.links > maxAliases {
				return errAliases
			}
			end.name, end.ttl = target.CNAME, min(end.ttl, d.ttl(h.TTL))
			cut = cut || !d.link(a, &end.name)
			return nil
		})
		if r := reasonOf(err); r != OK || end.links == before {
			if cut {
				d.counters.note(NoteChainCut)
			}
			return p, r
		}
	}
}

// link adds a name to the chain, as long as there is room.
func (d *Decoder) link(a *flow.DNSAnswer, n *dnsmessage.Name) bool {
	length := 0
	for _, name := range a.Chain {
		length += len(name)
	}
	name, ok := d.text(n)
	if !ok || length+len(name) > flow.MaxDNSChainOctets || len(a.Chain) == flow.MaxDNSChain {
		return false
	}
	a.Chain = append(a.Chain, name)
	return true
}

// addresses collects those at the end of the chain.
func (d *Decoder) addresses(p dnsmessage.Parser, a *flow.DNSAnswer, end *alias) Reason {
	var found [flow.MaxDNSAddresses]flow.DNSAddress
	n, cut := 0, false
	err := d.walk(&p, answers, func(h *dnsmessage.ResourceHeader) error {
		if h.Type != dnsmessage.TypeA && h.Type != dnsmessage.TypeAAAA || h.Class != dnsmessage.ClassINET || !same(&h.Name, &end.name) {
			return answers.skip(&p)
		}
		at, err := address(&p, h)
		if err != nil {
			return err
		}
		if cut = cut || n == len(found); !cut {
			at.TTL = min(end.ttl, d.ttl(h.TTL))
			found[n] = at
			n++
		}
		return nil
	})
	if n > 0 {
		a.Addresses = append(a.Addresses, found[:n]...)
	}
	if cut {
		d.counters.note(NoteAddressesCut)
	}
	return reasonOf(err)
}

func address(p *dnsmessage.Parser, h *dnsmessage.ResourceHeader) (at flow.DNSAddress, err error) {
	if h.Type == dnsmessage.TypeA {
		if h.Length != 4 {
			return at, errLength
		}
		r, err := p.AResource()
		return flow.DNSAddress{Addr: flow.AddrFrom4(r.A[:]), Version: 4}, err
	}
	if h.Length != 16 {
		return at, errLength
	}
	r, err := p.AAAAResource()
	return flow.DNSAddress{Addr: flow.AddrFrom16(r.AAAA[:]), Version: 6}, err
}

// negative is for a response without an address. The parser is set behind the answer section.
func (d *Decoder) negative(p dnsmessage.Parser, h dnsmessage.Header, a *flow.DNSAnswer) Reason {
	servers, authority := false, false
	err := d.walk(&p, authorities, func(h *dnsmessage.ResourceHeader) error {
		servers = servers || h.Type == dnsmessage.TypeNS
		authority = authority || h.Type == dnsmessage.TypeSOA
		return authorities.skip(&p)
	})
	if r := reasonOf(err); r != OK {
		return r
	}
	err = d.walk(&p, additionals, func(r *dnsmessage.ResourceHeader) error {
		if r.Type == dnsmessage.TypeOPT {
			a.RCode = uint16(r.ExtendedRCode(h.RCode))
		}
		return additionals.skip(&p)
	})
	if r := reasonOf(err); r != OK {
		return r
	}
	asked := dnsmessage.Type(a.QType)
	switch {
	case a.RCode != 0:
		return OK
	case asked != dnsmessage.TypeA && asked != dnsmessage.TypeAAAA:
		return OtherType
	case servers && !authority: // RFC 2308 section 2.2: what tells a referral from NODATA
		return Referral
	default:
		return OK
	}
}

// ttl reads a time to live.
func (d *Decoder) ttl(v uint32) uint32 {
	if v > flow.MaxDNSTTL {
		d.counters.note(NoteTTL)
		return 0
	}
	return v
}
