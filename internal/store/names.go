package store

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"flowsensor/internal/flow"
)

// maxTagValue bounds what a peer can make of an index entry in the database; Linux allows interface names of 15 bytes,
// capture files longer ones.
const maxTagValue = 255

// tagValue gives the nearest text that line protocol can hold as a tag value: no control bytes, valid UTF-8, and no
// backslash at the end, which cannot be told from an escape of what follows. The result is empty only when s is.
func tagValue(s string) string {
	if tagValueValid(s) {
		return s
	}
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, s)
	if len(s) > maxTagValue {
		end := maxTagValue
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	if strings.HasSuffix(s, `\`) {
		s = s[:len(s)-1] + "_"
	}
	return s
}

func tagValueValid(s string) bool {
	if len(s) > maxTagValue || !utf8.ValidString(s) || strings.HasSuffix(s, `\`) {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// ifaceTag is the interface's name as a tag value, its number where the sensor did not name it.
func ifaceTag(b *flow.Batch, index uint32) string {
	if name := tagValue(b.InterfaceName(index)); name != "" {
		return name
	}
	return strconv.FormatUint(uint64(index), 10)
}
