package ingest_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flowsensor/internal/ingest"
)

// TestJunkFlood sends junk of every sort beside good traffic. Nothing of it is left behind, and every datagram is
// accounted for, by a reason or by the kernel's count of drops.
func TestJunkFlood(t *testing.T) {
	for _, tc := range []struct {
		name  string
		ahead uint64 // of the processors the flooders may be, in datagrams; 0: as far as they get
		least int    // good datagrams in a hundred that must be taken
	}{
		{"that the processors can bear", 200, 99},
		{"as fast as it can be sent", 0, 1}, // the kernel drops good and bad alike then
	} {
		t.Run(tc.name, func(t *testing.T) { junkFlood(t, tc.ahead, tc.least) })
	}
}

func junkFlood(t *testing.T, ahead uint64, least int) {
	t.Helper()
	edge := newAgent(t, "edge-1")
	c := start(t, ingest.Config{Processors: 2}, edge.sensor())
	junk := [][]byte{
		[]byte("x"), bytes.Repeat([]byte("y"), 1472), newAgent(t, "edge-1").flows(records(10)...),
		newAgent(t, "edge-2").flows(record(1)), flipped(edge.resend(record(1))),
		append([]byte("edge-1 gAAAAA"), bytes.Repeat([]byte("A"), 1400)...),
	}
	edge.tx = 0 // the flipped one never counts
	stop := make(chan struct{})
	var flooders [2]flooder
	var sent atomic.Uint64 // by both
	mayGo := func() bool { return ahead == 0 || sent.Load() < datagrams(c.Stats())+ahead }
	var running sync.WaitGroup
	for i := range flooders {
		flooders[i].conn = c.dial()
		running.Go(func() { flooders[i].run(t, junk, mayGo, &sent, stop) })
	}
	const good = 300
	conn := c.dial()
	for range good {
		send(t, conn, edge.flows(records(5)...))
		time.Sleep(time.Millisecond)
	}
	close(stop)
	running.Wait()

	junkSent := sent.Load()
	drops := c.account(junkSent+good, conn, flooders[0].conn, flooders[1].conn)
	st := c.Stats()
	accepted := st.Outcomes[ingest.ReasonAccepted]
	t.Logf("%d junk datagrams beside %d good ones: %d good ones taken, kernel dropped %d", junkSent, good, accepted, drops)
	if accepted*100 < good*uint64(least) || accepted+drops < good {
		t.Errorf("%d of %d good datagrams taken, kernel dropped %d", accepted, good, drops)
	}
	if len(st.Sensors) != 1 || st.Sensors[0].Datagrams != accepted {
		t.Errorf("the flood shows in the sensors' counts: %+v", st.Sensors)
	}
	if n := len(c.logs.lines("refused")); n > ingest.Reasons {
		t.Errorf("%d log lines", n)
	}
}

// flooder sends junk from one address.
type flooder struct {
	conn net.Conn
}

func (f *flooder) run(t *testing.T, junk [][]byte, mayGo func() bool, sent *atomic.Uint64, stop <-chan struct{}) {
	t.Helper()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if !mayGo() {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		for range 8 {
			for _, d := range junk {
				if _, err := f.conn.Write(d); err != nil {
					t.Error(err)
					return
				}
			}
		}
		sent.Add(uint64(8 * len(junk)))
	}
}
