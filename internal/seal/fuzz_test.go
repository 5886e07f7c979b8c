package seal_test

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"flowsensor/internal/seal"
)

// Whatever comes, the opener does not panic, and opens nothing but the datagrams that were sealed.
func FuzzOpen(f *testing.F) {
	k := parse(f, specKey)
	genuine := map[string]string{}
	o := opener(f, seal.Sensor{ID: "edge-1", Keys: []seal.Key{newKey(f), k}})
	for _, plain := range []string{"", specPlain, string(make([]byte, 200))} {
		body := encrypt(f, specIV, pad([]byte(plain)))
		token := sign(f, specIV, body)
		genuine[token] = plain
		f.Add([]byte("edge-1 " + token))
		f.Add([]byte("edge-2 " + token))
		f.Add([]byte("edge-1 " + token + "\n\n\n\n"))
		f.Add([]byte("edge-1 " + sign(f, specIV[:9], body)))
		f.Add(sealed(f, "edge-1", newKey(f), []byte(plain), noon))
	}
	f.Add([]byte("edge-1 "))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		before := bytes.Clone(datagram)
		got, reason := o.Open(nil, datagram, netip.Addr{}, time.Unix(specStamp, 0))
		if !bytes.Equal(before, datagram) {
			t.Fatal("the datagram was changed")
		}
		if int(reason) >= seal.Reasons {
			t.Fatalf("reason %d", reason)
		}
		if !reason.Authentic() {
			if got.Sensor != nil || got.Plaintext != nil {
				t.Fatalf("%s, yet opened %+v", reason, got)
			}
			return
		}
		id, token, _ := bytes.Cut(datagram, []byte(" "))
		// The last character of a token with padding has bits that mean nothing: alter egos are harmless, they open to
		// the same.
		for known, plain := range genuine {
			if len(known) == len(token) && bytes.Equal([]byte(known[:len(known)-4]), token[:len(token)-4]) && string(id) == "edge-1" &&
				string(got.Plaintext) == plain {
				return
			}
		}
		t.Fatalf("opened %q, which nobody sealed", datagram)
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(specKey)
	f.Add(" " + specKey + "\n")
	f.Add(specKey + specKey)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := seal.ParseKey(text)
		if err != nil {
			if !errors.Is(err, seal.ErrKey) || err.Error() != seal.ErrKey.Error() || !k.IsZero() {
				t.Fatalf("%v", err)
			}
			return
		}
		again, err := seal.ParseKey(k.Encode())
		if err != nil || !again.Equal(k) {
			t.Fatalf("%q did not come back: %v", text, err)
		}
	})
}
