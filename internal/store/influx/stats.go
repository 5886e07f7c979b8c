package influx

import "sync/atomic"

// Stats counts since the Writer was opened.
type Stats struct {
	// Answers by status class: index 1 to 5 for 1xx to 5xx, 0 for requests without an answer and other statuses.
	Answers [6]uint64
	// BodyBytes and SentBytes are the size of the lines before and after compression.
	BodyBytes, SentBytes uint64
}

type counters struct {
	answers         [6]atomic.Uint64
	bodyIn, bodyOut atomic.Uint64
}

func (c *counters) answered(status int) {
	class := status / 100
	if class < 0 || class >= len(c.answers) {
		class = 0
	}
	c.answers[class].Add(1)
}

func (c *counters) sent(plain, encoded int) {
	c.bodyIn.Add(uint64(plain))
	c.bodyOut.Add(uint64(encoded))
}

// Stats is a copy; safe for concurrent use.
func (w *Writer) Stats() Stats {
	s := Stats{BodyBytes: w.stats.bodyIn.Load(), SentBytes: w.stats.bodyOut.Load()}
	for i := range s.Answers {
		s.Answers[i] = w.stats.answers[i].Load()
	}
	return s
}
