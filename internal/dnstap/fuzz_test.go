package dnstap_test

import (
	"log/slog"
	"testing"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/dnstap"
	"flowsensor/internal/flow"
)

// FuzzFrame: whatever a frame holds, every answer is valid and every frame is counted once.
func FuzzFrame(f *testing.F) {
	good := response(f, "www.example.org.")
	f.Add(tap(6, client4, server4, good))
	f.Add(tap(6, make([]byte, 16), nil, good))
	f.Add(tap(5, client4, server4, good[:12]))
	s, err := dnstap.Listen("tcp:127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	d := dnsmsg.NewDecoder()
	count := func() (n uint64) {
		for _, refused := range s.Stats().Refused {
			n += refused
		}
		for _, messages := range d.Stats().Messages {
			n += messages
		}
		return n
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := count()
		dnstap.Frame(s, frame, d, func(a *flow.DNSAnswer) {
			if err := a.Validate(); err != nil {
				t.Fatalf("%v: %+v", err, a)
			}
		})
		if n := count() - before; n != 1 {
			t.Fatalf("counted %d times", n)
		}
	})
}
