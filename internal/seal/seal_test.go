package seal_test

import (
	"bytes"
	"errors"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flowsensor/internal/seal"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newKey(tb testing.TB) seal.Key {
	tb.Helper()
	k, err := seal.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func parse(tb testing.TB, text string) seal.Key {
	tb.Helper()
	k, err := seal.ParseKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func opener(tb testing.TB, sensors ...seal.Sensor) *seal.Opener {
	tb.Helper()
	o, err := seal.NewOpener(sensors, seal.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

func sealed(tb testing.TB, id string, k seal.Key, plain []byte, at time.Time) []byte {
	tb.Helper()
	s, err := seal.NewSealer(id, k)
	if err != nil {
		tb.Fatal(err)
	}
	datagram, err := s.Seal(nil, plain, at)
	if err != nil {
		tb.Fatal(err)
	}
	return datagram
}

func TestSealAppends(t *testing.T) {
	k := newKey(t)
	s, err := seal.NewSealer("edge-1", k)
	if err != nil {
		t.Fatal(err)
	}
	datagram, err := s.Seal([]byte("before"), []byte("plain"), noon)
	if err != nil || !bytes.HasPrefix(datagram, []byte("beforeedge-1 gAAAAA")) {
		t.Fatalf("sealed %q, %v", datagram, err)
	}
	got, reason := opener(t, seal.Sensor{ID: "edge-1", Keys: []seal.Key{k}}).Open([]byte("kept"), datagram[6:], netip.Addr{}, noon)
	if reason != seal.ReasonOK || string(got.Plaintext) != "plain" {
		t.Errorf("opened %q, %s", got.Plaintext, reason)
	}
}

func TestSealRefusesClock(t *testing.T) {
	s, err := seal.NewSealer("edge-1", newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, unix := range []int64{-1, 1 << 36, math.MaxInt64 / 2} {
		if got, err := s.Seal([]byte("kept"), nil, time.Unix(unix, 0)); !errors.Is(err, seal.ErrClock) || string(got) != "kept" {
			t.Errorf("second %d: %q, %v", unix, got, err)
		}
	}
	if _, err := s.Seal(nil, nil, time.Unix(1<<36-1, 0)); err != nil {
		t.Errorf("the last second: %v", err)
	}
}

func TestNewSealerRefuses(t *testing.T) {
	if _, err := seal.NewSealer("a b", newKey(t)); !errors.Is(err, seal.ErrID) {
		t.Errorf("id with a space: %v", err)
	}
	if _, err := seal.NewSealer("a", seal.Key{}); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("no key: %v", err)
	}
}

func TestValidID(t *testing.T) {
	for _, id := range []string{"a", "0", "edge-1", "Z.9_-", strings.Repeat("a", 63)} {
		if err := seal.ValidID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", "-a", ".a", "_a", "a b", "ä", "a\n", "a\x00", "a/b", strings.Repeat("a", 64)} {
		if err := seal.ValidID(id); !errors.Is(err, seal.ErrID) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// The longest plaintext by trial, for every datagram size up to a few thousand and the edges above.
func TestMaxPlaintextByTrial(t *testing.T) {
	k := newKey(t)
	lengths := map[int]int{} // of a datagram with an empty id and no space, by plaintext length
	datagramLen := func(n int) int {
		if _, known := lengths[n]; !known {
			lengths[n] = len(sealed(t, "a", k, make([]byte, n), noon)) - 2
		}
		return lengths[n]
	}
	check := func(datagram, idLen, longest int) int {
		for longest >= 0 && datagramLen(longest)+idLen+1 > datagram {
			longest--
		}
		for datagramLen(longest+1)+idLen+1 <= datagram {
			longest++
		}
		if got := seal.MaxPlaintext(datagram, idLen); got != max(longest, 0) {
			t.Fatalf("MaxPlaintext(%d, %d) = %d, by trial %d", datagram, idLen, got, longest)
		}
		return longest
	}
	for _, idLen := range []int{1, 6, 63} {
		longest := -1
		for datagram := range 2100 {
			longest = check(datagram, idLen, longest)
		}
		for datagram := 65490; datagram <= 65507; datagram++ {
			check(datagram, idLen, seal.MaxPlaintext(datagram, idLen))
		}
	}
	if got := seal.MaxPlaintext(1472, 6); got != 1039 {
		t.Errorf("1472 octets hold %d", got)
	}
}

func TestOpenReasons(t *testing.T) {
	k := newKey(t)
	o := opener(
		t, seal.Sensor{ID: "edge-1", Keys: []seal.Key{k}, Prefixes: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.77/24"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("::ffff:198.51.100.0/120"),
		}}, seal.Sensor{ID: "edge-2", Keys: []seal.Key{newKey(t)}},
	)
	good := sealed(t, "edge-1", k, []byte("plain"), noon)
	flipped := bytes.Clone(good)
	flipped[60] = 'A' + (flipped[60]-'A'+1)%26 // another letter
	for _, c := range []struct {
		name, datagram, from string
		want                 seal.Reason
	}{
		{"good", string(good), "192.0.2.1", seal.ReasonOK},
		{"IPv4 from an IPv6 socket", string(good), "::ffff:192.0.2.1", seal.ReasonOK},
		{"prefix written as 4-in-6", string(good), "198.51.100.1", seal.ReasonOK},
		{"IPv6 with a zone", string(good), "2001:db8::1%eth0", seal.ReasonOK},
		{"spoofed", string(good), "203.0.113.1", seal.ReasonAddress},
		{"spoofed IPv6", string(good), "2001:db9::1", seal.ReasonAddress},
		{"empty", "", "192.0.2.1", seal.ReasonSize},
		{"short", string(good[:101]), "192.0.2.1", seal.ReasonSize},
		{"long", string(good) + strings.Repeat("A", 65507), "192.0.2.1", seal.ReasonSize},
		{"truncated", string(good[:len(good)-1]), "192.0.2.1", seal.ReasonShape},
		{"truncated by a quad", string(good[:len(good)-4]) + "====", "192.0.2.1", seal.ReasonShape},
		{"other version", strings.Replace(string(good), "gAAAAA", "gQAAAA", 1), "192.0.2.1", seal.ReasonShape},
		{"id too long", strings.Repeat("a", 64) + string(good[6:]), "192.0.2.1", seal.ReasonShape},
		{"unknown id", "edge-9" + string(good[6:]), "192.0.2.1", seal.ReasonUnknownID},
		{"unknown id from elsewhere", "edge-9" + string(good[6:]), "203.0.113.1", seal.ReasonUnknownID},
		{"another's id", "edge-2" + string(good[6:]), "203.0.113.1", seal.ReasonHMAC},
		{"bit flipped", string(flipped), "192.0.2.1", seal.ReasonHMAC},
	} {
		opened, got := o.Open(nil, []byte(c.datagram), netip.MustParseAddr(c.from), noon)
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if !got.Authentic() && (opened.Sensor != nil || opened.Plaintext != nil) {
			t.Errorf("%s: something stands in what was not opened", c.name)
		}
	}
	if _, got := o.Open(nil, good, netip.Addr{}, noon); got != seal.ReasonAddress {
		t.Errorf("no address: %s", got)
	}
}

func TestRotation(t *testing.T) {
	older, newer, stranger := newKey(t), newKey(t), newKey(t)
	o := opener(t, seal.Sensor{ID: "edge-1", Keys: []seal.Key{newer, older}})
	for _, c := range []struct {
		key   seal.Key
		want  seal.Reason
		index int
	}{{newer, seal.ReasonOK, 0}, {older, seal.ReasonOK, 1}, {stranger, seal.ReasonHMAC, 0}} {
		got, reason := o.Open(nil, sealed(t, "edge-1", c.key, nil, noon), netip.Addr{}, noon)
		if reason != c.want || got.KeyIndex != c.index {
			t.Errorf("key %d: %s", got.KeyIndex, reason)
		}
		if reason == seal.ReasonOK && (got.Sensor.ID != "edge-1" || !got.Sensor.Keys[got.KeyIndex].Equal(c.key)) {
			t.Errorf("opened as %s by another key than the one it was sealed with", got.Sensor.ID)
		}
	}
}

// The rule of Limits at its exact bounds: whole seconds against whole seconds.
func TestClock(t *testing.T) {
	k := newKey(t)
	sensor := seal.Sensor{ID: "edge-1", Keys: []seal.Key{k}}
	const ms = time.Millisecond
	for _, c := range []struct {
		limits   seal.Limits
		sealed   time.Duration // relative to noon
		received time.Duration
		want     seal.Reason
	}{
		{seal.Limits{}, 0, 0, seal.ReasonOK},
		{seal.Limits{}, 0, 5 * time.Second, seal.ReasonOK},
		{seal.Limits{}, 0, 5*time.Second + 999*ms, seal.ReasonOK},
		{seal.Limits{}, 0, 6 * time.Second, seal.ReasonClockOld},
		{seal.Limits{}, 999 * ms, 5*time.Second + 999*ms, seal.ReasonOK}, // true age 5 s
		{seal.Limits{}, 999 * ms, 6 * time.Second, seal.ReasonClockOld},
		{seal.Limits{}, 5 * time.Second, 0, seal.ReasonOK},
		{seal.Limits{}, 5*time.Second + 999*ms, 0, seal.ReasonOK},
		{seal.Limits{}, 6 * time.Second, 999 * ms, seal.ReasonClockAhead},
		{seal.Limits{}, 6 * time.Second, time.Second, seal.ReasonOK},
		{seal.Limits{}, 200 * 365 * 24 * time.Hour, 0, seal.ReasonClockAhead},
		{seal.Limits{TTL: 2 * time.Second, Skew: time.Second}, 0, 2 * time.Second, seal.ReasonOK},
		{seal.Limits{TTL: 2 * time.Second, Skew: time.Second}, 0, 3 * time.Second, seal.ReasonClockOld},
		{seal.Limits{TTL: 2 * time.Second, Skew: time.Second}, 2 * time.Second, 0, seal.ReasonClockAhead},
		{seal.Limits{TTL: 1500 * ms, Skew: 1500 * ms}, 0, time.Second, seal.ReasonOK},
		{seal.Limits{TTL: 1500 * ms, Skew: 1500 * ms}, 0, 2 * time.Second, seal.ReasonClockOld},
		{seal.Limits{TTL: -1, Skew: -1}, 0, 9000 * time.Hour, seal.ReasonOK},
		{seal.Limits{TTL: -1, Skew: -1}, 9000 * time.Hour, 0, seal.ReasonOK},
	} {
		o, err := seal.NewOpener([]seal.Sensor{sensor}, c.limits)
		if err != nil {
			t.Fatal(err)
		}
		datagram := sealed(t, "edge-1", k, []byte("plain"), noon.Add(c.sealed))
		got, reason := o.Open(nil, datagram, netip.Addr{}, noon.Add(c.received))
		if reason != c.want {
			t.Errorf("%+v sealed at %s received at %s: %s, want %s", c.limits, c.sealed, c.received, reason, c.want)
		}
		// Authentic all the same: the answer needs what stands in it.
		if string(got.Plaintext) != "plain" || got.Sensor == nil || !got.Sealed.Equal(noon.Add(c.sealed.Truncate(time.Second))) {
			t.Errorf("sealed at %s received at %s: opened %+v", c.sealed, c.received, got)
		}
		if off := got.Offset - (c.sealed - c.received); off.Abs() > 500*ms {
			t.Errorf("sealed at %s received at %s: offset %s", c.sealed, c.received, got.Offset)
		}
	}
}

func TestNewOpenerRefuses(t *testing.T) {
	a, b, c := newKey(t), newKey(t), newKey(t)
	again := parse(t, a.Encode())
	one := func(keys ...seal.Key) []seal.Sensor { return []seal.Sensor{{ID: "edge-1", Keys: keys}} }
	for name, s := range map[string]struct {
		sensors []seal.Sensor
		want    error
	}{
		"id":                    {[]seal.Sensor{{ID: "a b", Keys: []seal.Key{a}}}, seal.ErrID},
		"no key":                {one(), seal.ErrNoKey},
		"zero key":              {one(a, seal.Key{}), seal.ErrNoKey},
		"three keys":            {one(a, b, c), seal.ErrTooManyKeys},
		"one key twice":         {one(a, again), seal.ErrDuplicateKey},
		"one key under two ids": {append(one(b, a), seal.Sensor{ID: "edge-2", Keys: []seal.Key{again}}), seal.ErrDuplicateKey},
		"one id twice":          {append(one(a), one(b)...), seal.ErrDuplicateID},
		"prefix":                {[]seal.Sensor{{ID: "a", Keys: []seal.Key{a}, Prefixes: make([]netip.Prefix, 1)}}, seal.ErrPrefix},
	} {
		_, err := seal.NewOpener(s.sensors, seal.Limits{})
		if !errors.Is(err, s.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), a.Encode()) {
			t.Errorf("%s: the error shows a key", name)
		}
	}
}

// An opener does not follow what happens to the configuration it was made of.
func TestOpenerKeepsItsOwn(t *testing.T) {
	k := newKey(t)
	sensors := []seal.Sensor{{ID: "edge-1", Keys: []seal.Key{k}, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}
	o := opener(t, sensors...)
	sensors[0].Keys[0], sensors[0].Prefixes[0] = newKey(t), netip.MustParsePrefix("203.0.113.0/24")
	got, reason := o.Open(nil, sealed(t, "edge-1", k, nil, noon), netip.MustParseAddr("192.0.2.1"), noon)
	if reason != seal.ReasonOK || !got.Sensor.Keys[0].Equal(k) {
		t.Errorf("%s", reason)
	}
}

func TestIDs(t *testing.T) {
	o := opener(t, seal.Sensor{ID: "b", Keys: []seal.Key{newKey(t)}}, seal.Sensor{ID: "a", Keys: []seal.Key{newKey(t)}})
	if got := o.IDs(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%v", got)
	}
}

// Both are immutable: the race detector finds nothing.
func TestConcurrentUse(t *testing.T) {
	k := newKey(t)
	s, err := seal.NewSealer("edge-1", k)
	if err != nil {
		t.Fatal(err)
	}
	o := opener(t, seal.Sensor{ID: "edge-1", Keys: []seal.Key{newKey(t), k}, Prefixes: []netip.Prefix{netip.MustParsePrefix("::/0")}})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				datagram, err := s.Seal(nil, []byte("plain"), noon)
				got, reason := o.Open(nil, datagram, netip.IPv6Loopback(), noon)
				if err != nil || reason != seal.ReasonOK || string(got.Plaintext) != "plain" {
					t.Errorf("%v, %s", err, reason)
				}
			}
		})
	}
	all.Wait()
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range seal.Reasons {
		seen[seal.Reason(r).String()] = true
	}
	for v := range seal.Verdicts {
		seen[seal.Verdict(v).String()] = true
	}
	if len(seen) != seal.Reasons+seal.Verdicts || seen[""] {
		t.Errorf("names: %v", seen)
	}
	if got := seal.Reason(200).String(); got != "Reason(200)" {
		t.Errorf("unknown reason is %q", got)
	}
}
