package dnsmsg

import (
	"hash/maphash"

	"golang.org/x/net/dns/dnsmessage"

	"flowsensor/internal/flow"
)

// octets gives a name as it stands in the message, labels ended by dots.
func octets(n *dnsmessage.Name) []byte { return n.Data[:n.Length] }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// same compares names without regard to the case of ASCII letters (RFC 4343).
func same(a, b *dnsmessage.Name) bool {
	if a.Length != b.Length {
		return false
	}
	for i, c := range octets(a) {
		if lower(c) != lower(b.Data[i]) {
			return false
		}
	}
	return true
}

// appendName appends a name as flow.ValidDNSName has it, whatever its labels hold.
func appendName(dst []byte, n *dnsmessage.Name) []byte {
	name := octets(n)
	if len(name) <= 1 {
		return append(dst, '.')
	}
	for _, c := range name[:len(name)-1] { // without the last dot
		c = lower(c)
		if c == '.' || flow.PlainDNSOctet(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		}
	}
	return dst
}

// text gives the written name, false when it is too long.
func (d *Decoder) text(n *dnsmessage.Name) (string, bool) {
	d.buffer = appendName(d.buffer[:0], n)
	if len(d.buffer) > flow.MaxDNSName {
		return "", false
	}
	return d.known.text(d.buffer), true
}

// knownSlots is a power of two.
const knownSlots = 1 << 12

// known remembers names that were seen before, so that the popular ones cost no memory each time. Whatever hashes to a name's
// slot takes it over.
type known struct {
	seed  maphash.Seed
	slots []string
}

func newKnown() known { return known{seed: maphash.MakeSeed(), slots: make([]string, knownSlots)} }

func (k *known) text(name []byte) string {
	slot := &k.slots[maphash.Bytes(k.seed, name)&(knownSlots-1)]
	if *slot != string(name) {
		*slot = string(name)
	}
	return *slot
}
