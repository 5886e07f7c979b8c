package seal_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/seal"
)

// bareToken seals "text" as a datagram and cuts the id off.
func bareToken(t *testing.T, key seal.Key, at time.Time) []byte {
	t.Helper()
	sealer, err := seal.NewSealer("x", key)
	if err != nil {
		t.Fatal(err)
	}
	datagram, err := sealer.Seal(nil, []byte("text"), at)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimPrefix(datagram, []byte("x "))
}

func TestBareOpener(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	newer, older, foreign := newKey(t), newKey(t), newKey(t)
	opener, err := seal.NewBareOpener([]seal.Key{newer, older}, seal.Limits{TTL: 5 * time.Second, Skew: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	good := bareToken(t, older, at)
	for name, c := range map[string]struct {
		token []byte
		after time.Duration
		want  seal.Reason
	}{
		"newer key":   {bareToken(t, newer, at), 0, seal.ReasonOK},
		"older key":   {good, 5 * time.Second, seal.ReasonOK},
		"foreign key": {bareToken(t, foreign, at), 0, seal.ReasonHMAC},
		"old":         {good, 6 * time.Second, seal.ReasonClockOld},
		"ahead":       {good, -4 * time.Second, seal.ReasonClockAhead},
		"with an id":  {append([]byte("x "), good...), 0, seal.ReasonShape},
		"more behind": {append(bytes.Clone(good), "AAAA"...), 0, seal.ReasonShape},
		"line end":    {append(bytes.Clone(good), "\n"...), 0, seal.ReasonShape},
		"bit flipped": {slices.Concat(good[:60], []byte("AAAA"), good[64:]), 0, seal.ReasonHMAC},
		"short":       {good[:60], 0, seal.ReasonSize},
		"long":        {bytes.Repeat([]byte("A"), 66000), 0, seal.ReasonSize},
	} {
		got, reason := opener.Open([]byte("in front "), c.token, at.Add(c.after))
		if reason != c.want {
			t.Errorf("%s: %s, want %s", name, reason, c.want)
			continue
		}
		if ok := reason == seal.ReasonOK; ok != (string(got.Plaintext) == "text") || ok != got.Sealed.Equal(at) {
			t.Errorf("%s: %q sealed %v", name, got.Plaintext, got.Sealed)
		}
	}
}

// A copy of a token has the same MAC, also with other bits in the unused end of its base64; another token has another.
func TestBareMAC(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	key := newKey(t)
	opener, err := seal.NewBareOpener([]seal.Key{key}, seal.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	mac := func(token []byte) seal.MAC {
		t.Helper()
		b, reason := opener.Open(nil, token, at)
		if reason != seal.ReasonOK {
			t.Fatalf("%s", reason)
		}
		return b.MAC
	}
	token := bareToken(t, key, at)
	if mac(token) == (seal.MAC{}) || mac(token) != mac(bytes.Clone(token)) {
		t.Error("the same token has two MACs, or none")
	}
	if mac(token) == mac(bareToken(t, key, at)) {
		t.Error("two tokens have one MAC")
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	end := bytes.IndexByte(token, '=')
	if end < 0 {
		t.Fatal("the token has no padding")
	}
	recoded := bytes.Clone(token)
	recoded[end-1] = alphabet[strings.IndexByte(alphabet, recoded[end-1])|1]
	if !bytes.Equal(recoded, token) && mac(recoded) != mac(token) {
		t.Error("a token coded otherwise has another MAC")
	}
}

func TestBareOpenerRefusals(t *testing.T) {
	key := newKey(t)
	for want, keys := range map[error][]seal.Key{
		seal.ErrNoKey: {key, {}}, seal.ErrTooManyKeys: {key, newKey(t), newKey(t)},
	} {
		if _, err := seal.NewBareOpener(keys, seal.Limits{}); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if _, err := seal.NewBareOpener(nil, seal.Limits{}); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("no key gave %v", err)
	}
}
