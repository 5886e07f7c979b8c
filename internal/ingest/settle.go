package ingest

import "flowsensor/internal/flow"

// Result says what became of a batch that a Sink accepted. The zero value is invalid.
type Result uint8

// The results.
const (
	_       Result = iota
	Durable        // it survives whatever happens to us: the sensor is told, and may forget it
	Lost           // it does not: the sensor is not told, sends it again, and it is handed over again
)

// Settle gives back a batch that the Sink accepted, once, and says what became of it. Nothing of the batch may be touched
// afterwards; its Sensor, Boot, Seq and Body must be those it came with. Any goroutine may call it, also within the Sink, and
// until Close. A batch that is never settled is never acknowledged either.
func (s *Server) Settle(b *flow.Batch, r Result) {
	v := flow.VolumeOf(b)
	// A sensor's batch comes with its body, a legacy agent's has none. What agents there are now does not tell: a reload may
	// have come in between.
	if len(b.Body) == 0 {
		s.legacy.settle(r, v)
		s.recycle(b)
		return
	}
	if r == Durable {
		s.durable.Add(v)
	} else {
		s.lost.Add(v)
	}
	if sensor := s.keys.Load().sensors[b.Sensor]; sensor != nil && sensor.settle(b, r, v) {
		s.answers.add(sensor)
	}
	s.recycle(b)
}
