//go:build cgo

package capture

import (
	"reflect"
	"testing"

	"github.com/google/gopacket/afpacket"
)

// gopacket shows neither its descriptor nor its ring: this fails when another version of it is built in that has them
// otherwise. That the values are right, every test on a link shows.
func TestGopacketIsTheVersionThisWasWrittenFor(t *testing.T) {
	if _, _, err := insides(&afpacket.TPacket{}); err != nil {
		t.Error(err)
	}
	typ := reflect.TypeFor[afpacket.TPacket]()
	for name, want := range map[string]string{"fd": "int", "ring": "[]uint8"} {
		field, ok := typ.FieldByName(name)
		if !ok || field.Type.String() != want {
			t.Errorf("field %s is %v", name, field.Type)
		}
	}
}
