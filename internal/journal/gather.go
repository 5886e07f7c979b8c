package journal

import (
	"context"
	"time"

	"flowsensor/internal/flow"
)

// Gatherer makes something of the batches of a shard, window by window, that has to be stored before any of them is
// acknowledged. Each session has its own, and what a session did not store the next one gathers again: the same batches
// in the same windows.
type Gatherer interface {
	// Open begins the window with that number: journal time in units of Config.Window. Numbers ascend. The number of a
	// window without batches can be moved on by calling it again.
	Open(number int64)
	// Add takes a batch of the window. It is handed on afterwards.
	Add(b *flow.Batch)
	// Close ends the window. store is called later by another goroutine, for one window after the other, while the next
	// one is gathered; nil means that everything is durable.
	Close(edge Edge) (store func(context.Context) error)
	// Config says in a few words what the rows of the open window hang on besides its batches: rows that are made again
	// under another configuration are other rows.
	Config() string
}

// Edge says what the end of a window ends.
type Edge uint8

// The edges.
const (
	// Tick ends a window whose batches stay unacknowledged: what it made is written again should they come again.
	Tick Edge = iota + 1
	// Full ends a window after which everything that was gathered is stored and acknowledged.
	Full
	edges
)

// Gather makes each session gather by windows of Config.Window before its batches are acknowledged; open makes the
// Gatherer of a session. It is called before Run.
func (r *Reader) Gather(open func(shard int) Gatherer) { r.gather = open }

// edge is where a window ended. It is made known in the checkpoint before anything of its window is stored, so that
// whoever gathers the window again ends it at the same place, whatever made it end there.
type edge struct {
	number   int64
	position uint64 // of its last message
	kind     Edge
}

const (
	// closeGrace is how long after its end a window waits for messages that are on their way.
	closeGrace = 250 * time.Millisecond
	// drainPause is how long nothing has to come before a window is closed for the end.
	drainPause = 50 * time.Millisecond
	// farAhead is how far the numbers of windows may be ahead of the journal's time.
	farAhead = time.Hour
	// maxGathered is how many messages are gathered before a full window ends early, and maxShare the part of the journal's size
	// that they may take. That can happen once in a window's length, or numbers would run ahead.
	maxGathered = 8192
	maxShare    = 4
)

// closed is a window that is to be stored.
type closed struct {
	edge
	other  int64 // see gathering
	known  bool  // to the checkpoint already
	config string
	store  func(context.Context) error
}

// gathering is the reading goroutine's side of the windows of a session. While messages stand unacknowledged, a window is
// open.
type gathering struct {
	Gatherer
	session  *session
	window   int64 // its length, ns
	every    int64 // so many windows make one that ends full
	known    []edge
	config   string // that the known ones were made under
	isOpen   bool
	filled   bool      // the open window has messages
	number   int64     // of the open window, or of the last one
	other    int64     // of the last one before the clock leapt, forth or back
	messages int       // since the last full edge
	octets   int64     // in these
	due      time.Time // when the open window ends by our clock
	closed   chan closed
}

func newGathering(s *session, g Gatherer) *gathering {
	return &gathering{
		Gatherer: g, session: s, window: int64(s.j.cfg.Window), every: int64(max(s.j.cfg.Windows, 1)), closed: make(chan closed),
	}
}

// begin takes over what the checkpoint knows of windows that were made known and not acknowledged.
func (g *gathering) begin(c *checkpoint) {
	g.known, g.number, g.other, g.config = append([]edge(nil), c.edges...), c.number, c.other, c.config
	if len(g.known) > 0 {
		g.number = g.known[0].number - 1
	}
}

// before sees to it that the right window is open for a message of that journal time and size.
func (g *gathering) before(ctx context.Context, position uint64, at time.Time, size int) error {
	for len(g.known) > 0 && position > g.known[0].position { // its last message is gone
		if err := g.closeKnown(ctx); err != nil {
			return err
		}
	}
	if len(g.known) > 0 {
		g.open(g.known[0].number)
	} else if err := g.openFor(ctx, at); err != nil {
		return err
	}
	g.filled = true
	g.messages++
	g.octets += int64(size)
	return nil
}

// crowded reports whether enough was gathered for a full window to end.
func (g *gathering) crowded() bool {
	return g.messages >= maxGathered || g.octets >= g.session.j.cfg.MaxSize/maxShare
}

// openFor opens the window of a time, or goes on with a later one: clocks may step back. A window stays open for its length by
// our own clock at most, whatever the messages say.
func (g *gathering) openFor(ctx context.Context, at time.Time) error {
	number := at.UnixNano() / g.window
	switch {
	case g.isOpen && number <= g.number:
		return nil
	case g.isOpen:
		if err := g.advance(ctx, number); err != nil {
			return err
		}
	}
	if !g.isOpen {
		g.open(g.next(number))
	}
	left := min(max((g.number+1)*g.window-at.UnixNano(), 0), g.window)
	g.due = time.Now().Add(time.Duration(left) + closeGrace)
	return nil
}

// next gives the number of the window to open at a time that has that number. Numbers ascend, but for a clock that was far
// ahead and is right again: what it numbered is not reached by counting on. Where the nodes of a cluster disagree by hours, and
// lead in turn, the numbers of each side ascend.
func (g *gathering) next(number int64) int64 {
	far := int64(farAhead) / g.window
	ahead := g.number + 1 - number
	if ahead >= -far && ahead <= far {
		return max(number, g.number+1)
	}
	if ahead > far {
		g.session.j.log.Warn("the journal's clock was set back by hours: windows are numbered by the time that it tells now",
			"subject", subjectOf(g.session.shard), "back", time.Duration(ahead*g.window))
	}
	before := g.other
	g.other = g.number
	if before-number <= far {
		number = max(number, before+1)
	}
	return number
}

// after ends the window if the message, of that journal time, was its last one.
func (g *gathering) after(ctx context.Context, position uint64, at time.Time) error {
	for len(g.known) > 0 && position >= g.known[0].position {
		if err := g.closeKnown(ctx); err != nil {
			return err
		}
	}
	if len(g.known) == 0 && g.crowded() && g.number <= at.UnixNano()/g.window {
		return g.close(ctx, Full)
	}
	return nil
}

// tick ends the window when its time is over.
func (g *gathering) tick(ctx context.Context) error {
	if !g.isOpen || len(g.known) > 0 || time.Now().Before(g.due) {
		return nil
	}
	g.due = g.due.Add(time.Duration(g.window))
	return g.advance(ctx, g.number+1)
}

// wait is how long until the window ends, a long time where there is none.
func (g *gathering) wait() time.Duration {
	if !g.isOpen || len(g.known) > 0 {
		return time.Hour
	}
	return max(time.Until(g.due), 0)
}

// finish ends the window early, and reports whether nothing is left to gather. Windows that are known end where they are
// known to end, or not in this session.
func (g *gathering) finish(ctx context.Context) (bool, error) {
	if len(g.known) > 0 {
		return false, nil
	}
	if g.messages == 0 {
		return true, nil
	}
	return true, g.close(ctx, Full)
}

// advance ends the open window where it has messages and makes number the open one, unless a full edge lies between or is due:
// then none is open.
func (g *gathering) advance(ctx context.Context, number int64) error {
	if number/g.every != g.number/g.every || g.crowded() {
		return g.close(ctx, Full)
	}
	if g.filled {
		if err := g.close(ctx, Tick); err != nil {
			return err
		}
	}
	g.open(number)
	return nil
}

func (g *gathering) open(number int64) {
	if g.isOpen && number == g.number {
		return
	}
	g.isOpen, g.number = true, number
	g.Open(number)
}

func (g *gathering) closeKnown(ctx context.Context) error {
	e := g.known[0]
	g.known = g.known[1:]
	g.open(e.number)
	if now := g.Config(); now != g.config {
		g.config = now
		g.session.counters.changed.Add(1)
		g.session.j.log.Warn("the configuration changed while a window was being stored: of its rows some may stand twice, as before and as now",
			"subject", subjectOf(g.session.shard), "window", e.number)
	}
	return g.closeAt(ctx, closed{edge: e, known: true})
}

func (g *gathering) close(ctx context.Context, kind Edge) error {
	return g.closeAt(ctx, closed{edge: edge{number: g.number, position: g.session.last, kind: kind}})
}

// closeAt hands the window to the committing goroutine, when that has done with the one before.
func (g *gathering) closeAt(ctx context.Context, c closed) error {
	c.config, c.other = g.Config(), g.other
	c.store = g.Close(c.kind)
	g.filled = false
	if c.kind == Full {
		g.isOpen, g.messages, g.octets = false, 0, 0
	} else {
		g.open(g.number + 1)
		g.due = time.Now().Add(time.Duration(g.window) + closeGrace)
	}
	select {
	case g.closed <- c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
