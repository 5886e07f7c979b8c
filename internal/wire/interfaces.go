package wire

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"

	"flowsensor/internal/flow"
)

// interfaceTable is the interface table of a batch under way.
type interfaceTable struct {
	given []flow.Interface // as they came, also where the name was made fit
	coded []byte           // without the number of entries
}

// interfaceMark is where a table stood.
type interfaceMark struct{ given, coded int }

func (t *interfaceTable) mark() interfaceMark { return interfaceMark{len(t.given), len(t.coded)} }

// back undoes what was added since the mark.
func (t *interfaceTable) back(m interfaceMark) {
	t.given, t.coded = t.given[:m.given], t.coded[:m.coded]
}

func (t *interfaceTable) reset() { t.back(interfaceMark{}) }

// number gives the number of an interface in the table, and adds it when it is new. It refuses when the table is full, or
// has that index under another name.
func (t *interfaceTable) number(index uint32, name string) (int, bool) {
	for i := range t.given {
		if t.given[i].Index == index {
			return i, t.given[i].Name == name
		}
	}
	if len(t.given) == MaxInterfaces {
		return 0, false
	}
	t.given = append(t.given, flow.Interface{Index: index, Name: name})
	if !validName(name) {
		name = fitName(name)
	}
	t.coded = binary.AppendUvarint(t.coded, uint64(index))
	t.coded = binary.AppendUvarint(t.coded, uint64(len(name)))
	t.coded = append(t.coded, name...)
	return len(t.given) - 1, true
}

func (t *interfaceTable) size() int { return uvarintLen(uint64(len(t.given))) + len(t.coded) }

func (t *interfaceTable) append(dst []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(t.given))), t.coded...)
}

// uvarintLen is the length of v as a varint.
func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// validName holds interface names to what may stand in a log line and in a tag: UTF-8 without control characters.
func validName(name string) bool {
	return len(name) <= MaxInterfaceName && utf8.ValidString(name) && strings.IndexFunc(name, unicode.IsControl) < 0
}

// fitName makes a name that is valid: of a pcapng file's interface, say, which may have any.
func fitName(name string) string {
	name = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return '_'
		}
		return c
	}, strings.ToValidUTF8(name, "_"))
	if len(name) <= MaxInterfaceName {
		return name
	}
	cut := MaxInterfaceName
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut]
}
