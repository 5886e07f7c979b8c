package sensor

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"flowsensor/internal/status"
)

// statusLine makes rates of the counts that it was shown last. Safe for concurrent use.
type statusLine struct {
	mu             sync.Mutex // protects what follows
	at             time.Time
	packets, bytes uint64
}

// rates gives packets and bytes a second since it was asked last; false the first time.
func (l *statusLine) rates(now time.Time, packets, bytes uint64) (perSecond [2]float64, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := now.Sub(l.at).Seconds(); !l.at.IsZero() && d > 0 {
		perSecond, known = [2]float64{float64(packets-l.packets) / d, float64(bytes-l.bytes) / d}, true
	}
	l.at, l.packets, l.bytes = now, packets, bytes
	return perSecond, known
}

// Status implements daemon.Service. What is not well stands first: systemctl cuts the line at the terminal's width.
func (s *Service) Status() string {
	l, x := s.Ledger(), s.pipeline.sender.Stats()
	var parts []string
	for _, tap := range s.pipeline.taps {
		if t := tap.Stats(); !t.Up() {
			parts = append(parts, fmt.Sprintf("%s is %s", t.Interface, t.Link))
		}
	}
	if x.Held {
		parts = append(parts, "sending is held back")
	}
	if r, known := s.line.rates(time.Now(), l.Packets.Read+l.Packets.GSOExtra, l.Bytes.Read); known {
		parts = append(parts, fmt.Sprintf("%s packets/s, %sbit/s", status.Scaled(r[0]), status.Scaled(8*r[1])))
	}
	parts = append(parts,
		fmt.Sprintf("%d flows", l.Flows),
		fmt.Sprintf("%d packets received, %d dropped by the ring", l.Received, l.Dropped),
		fmt.Sprintf("%d records sent to %s, %d kept, %d given up", x.Sent.Records, cmp.Or(remote(x.Remote), absent), x.Pending.Records, x.DroppedTotal().Records))
	return strings.Join(parts, ", ")
}
