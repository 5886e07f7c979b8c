package store

import "flowsensor/internal/flow"

// Count says what a number of lines stands for.
type Count struct {
	Records, Packets, Bytes uint64
	Reports                 uint64 // points that are no records: of readings, and of DNS answers that failed
	Rows                    uint64 // points of other measurements, by WriteRows
}

func (c *Count) add(o Count) {
	c.Records += o.Records
	c.Packets += o.Packets
	c.Bytes += o.Bytes
	c.Reports += o.Reports
	c.Rows += o.Rows
}

func (c *Count) sub(o Count) {
	c.Records -= o.Records
	c.Packets -= o.Packets
	c.Bytes -= o.Bytes
	c.Reports -= o.Reports
	c.Rows -= o.Rows
}

// points is how many lines there are of what c counts of batches.
func (c *Count) points() uint64 { return c.Records + c.Reports }

func countOf(b *flow.Batch) Count {
	c := Count{Records: uint64(len(b.Records))}
	for i := range b.Records {
		c.Packets += b.Records[i].Packets
		c.Bytes += b.Records[i].Bytes
	}
	for range flow.Groups(b.Readings) {
		c.Reports++
	}
	for range flow.DNSFailures(b.Answers) {
		c.Reports++
	}
	return c
}

// Lines is a run of line-protocol lines in one piece of memory, and what each of them stands for. The zero value is
// empty and usable. A copy shares the memory: Slice makes views, and only the Lines that was appended to may grow.
type Lines struct {
	data   []byte
	start  int // of the first line in data
	ends   []int
	counts []Count
}

// Append adds one line, which must end in its only newline, and what it stands for.
func (l *Lines) Append(line []byte, c Count) {
	l.data = append(l.data, line...)
	l.mark(c)
}

// mark makes the bytes after the last line a line of its own.
func (l *Lines) mark(c Count) {
	l.ends = append(l.ends, len(l.data))
	l.counts = append(l.counts, c)
}

func (l *Lines) reset() {
	l.data, l.ends, l.counts = l.data[:0], l.ends[:0], l.counts[:0]
}

// Len is the number of lines.
func (l Lines) Len() int { return len(l.ends) }

// Bytes is the text of all lines: a request's body. It must not be changed.
func (l Lines) Bytes() []byte {
	if len(l.ends) == 0 {
		return nil
	}
	return l.data[l.start:l.ends[len(l.ends)-1]]
}

// Count sums what the lines stand for.
func (l Lines) Count() Count {
	var sum Count
	for _, c := range l.counts {
		sum.add(c)
	}
	return sum
}

// Slice is a view of the lines from i up to j.
func (l Lines) Slice(i, j int) Lines {
	view := Lines{data: l.data, start: l.start, ends: l.ends[i:j:j], counts: l.counts[i:j:j]}
	if i > 0 {
		view.start = l.ends[i-1]
	}
	return view
}

// cut gives views of about the same number of lines, of about maxBytes at most.
func (l Lines) cut(maxBytes int) []Lines {
	pieces := min(max((len(l.Bytes())+maxBytes-1)/maxBytes, 1), max(l.Len(), 1))
	views := make([]Lines, 0, pieces)
	for i := range pieces {
		if from, to := i*l.Len()/pieces, (i+1)*l.Len()/pieces; from < to {
			views = append(views, l.Slice(from, to))
		}
	}
	return views
}

// partition copies the lines with the given ascending indices into one Lines and all others into another.
func (l Lines) partition(indices []int) (picked, others Lines) {
	for i := range l.ends {
		to := &others
		if len(indices) > 0 && indices[0] == i {
			to, indices = &picked, indices[1:]
		}
		to.Append(l.Slice(i, i+1).Bytes(), l.counts[i])
	}
	return picked, others
}
