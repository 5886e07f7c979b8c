package sensor

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/flowtable"
	"flowsensor/internal/status"
)

// Bounds of the look for the top flows.
const (
	maxTop = 100
	// lookTime is how long a look over a worker's whole table takes: it goes on by as many entries as the time since the
	// worker's last turn asks for, of which a turn takes leastLook to mostLook.
	lookTime  = 250 * time.Millisecond
	leastLook = 1 << 10
	mostLook  = 1 << 17 // below a millisecond
	// lookPatience is how long a worker may take for it.
	lookPatience = 3 * time.Second
	// lookAge is how old an answer may be that is given again.
	lookAge = 300 * time.Millisecond
)

// TopSnapshot is the answer to GET /top?flows=N: the flows with the most bytes a second of their records, which are as old as the
// active timeout at most.
type TopSnapshot struct {
	status.Head
	Flows  []FlowStatus `json:"flows"`
	Silent []string     `json:"silent"` // workers that gave no answer in time
}

// FlowStatus is a flow as it stands in the table, in the names of the records.
type FlowStatus struct {
	Src              netip.Addr `json:"src"`
	Dst              netip.Addr `json:"dst"`
	SrcPort          uint16     `json:"src_port"`
	DstPort          uint16     `json:"dst_port"`
	Proto            uint8      `json:"proto"`
	ToS              uint8      `json:"tos"`
	IfIndex          uint32     `json:"if_index"`
	Iface            string     `json:"iface"`
	VLAN             *uint16    `json:"vlan,omitempty"`
	Bytes            uint64     `json:"bytes"`
	Packets          uint64     `json:"packets"`
	First            time.Time  `json:"first"`
	Last             time.Time  `json:"last"`
	TCPFlags         uint16     `json:"tcp_flags"`
	BytesPerSecond   uint64     `json:"bytes_per_second"`
	PacketsPerSecond uint64     `json:"packets_per_second"`
}

// look is a request to a worker: it goes on with it between two walks of its ring until it is through.
type look struct {
	top    *flowtable.Top
	since  int64 // when the worker last went on with it, by its clock
	offset int64 // of the worker's clock, at the end
	done   chan struct{}
}

// goOn has a look go on, on the worker's goroutine.
func (w *worker) goOn(l *look) {
	table, now := w.meter.table, w.clock.mono
	due := int64(table.Entries()) * min(now-l.since, int64(lookTime)) / int64(lookTime)
	l.since = now
	if !table.Look(l.top, int(min(max(due, leastLook), mostLook)), now) {
		return
	}
	l.offset = w.clock.offset
	w.asked.Store(nil)
	close(l.done)
}

// asker asks all workers for their fastest flows. Safe for concurrent use: who comes while another waits gets the same
// answer, so that many who ask cost no more than one.
type asker struct {
	workers []*worker

	mu     sync.Mutex // held while workers are asked; guards what follows
	at     time.Time
	flows  []FlowStatus
	silent []string
}

func newAsker(workers []*worker) *asker { return &asker{workers: workers} }

// top gives the fastest flows and the names of workers that did not answer.
func (a *asker) top(ctx context.Context, limit int) ([]FlowStatus, []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.at) > lookAge {
		a.ask(ctx)
		a.at = time.Now()
	}
	return a.flows[:min(limit, len(a.flows))], a.silent
}

func (a *asker) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	looks := make([]*look, len(a.workers))
	for i, w := range a.workers {
		l := &look{top: flowtable.NewTop(maxTop), done: make(chan struct{})}
		if w.asked.CompareAndSwap(nil, l) { // else it has not answered the last one yet
			looks[i] = l
		}
	}
	a.silent = []string{}
	found := make(map[flow.Key]*FlowStatus)
	for i, w := range a.workers {
		if !looks[i].await(ctx) {
			a.silent = append(a.silent, w.name)
			continue
		}
		for _, r := range looks[i].top.Flows() {
			merge(found, r, w.iface, looks[i].offset)
		}
	}
	a.flows = make([]FlowStatus, 0, len(found))
	for _, f := range found {
		a.flows = append(a.flows, *f)
	}
	slices.SortFunc(a.flows, func(x, y FlowStatus) int {
		return cmp.Or(cmp.Compare(y.BytesPerSecond, x.BytesPerSecond), x.Src.Compare(y.Src), cmp.Compare(x.SrcPort, y.SrcPort))
	})
	a.flows = a.flows[:min(maxTop, len(a.flows))]
}

// await reports whether the look came to its end.
func (l *look) await(ctx context.Context) bool {
	if l == nil {
		return false
	}
	select {
	case <-l.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// merge adds a worker's flow: where the kernel spreads packets by core or queue, several workers have a part of one.
func merge(found map[flow.Key]*FlowStatus, r flowtable.Rated, iface string, offset int64) {
	f := FlowStatus{
		Src: r.Src.Netip(r.Version), Dst: r.Dst.Netip(r.Version), SrcPort: r.SrcPort, DstPort: r.DstPort, Proto: r.Proto, ToS: r.ToS,
		IfIndex: r.IfIndex, Iface: iface, Bytes: r.Bytes, Packets: r.Packets, TCPFlags: r.TCPFlags,
		First: time.Unix(0, r.First+offset).UTC(), Last: time.Unix(0, r.Last+offset).UTC(), BytesPerSecond: r.Rate,
	}
	if id, tagged := r.VLAN.ID(); tagged {
		f.VLAN = &id
	}
	if r.Bytes > 0 {
		f.PacketsPerSecond = uint64(float64(r.Packets)*float64(r.Rate)/float64(r.Bytes) + 0.5)
	}
	had := found[r.Key]
	if had == nil {
		found[r.Key] = &f
		return
	}
	had.Bytes += f.Bytes
	had.Packets += f.Packets
	had.BytesPerSecond += f.BytesPerSecond
	had.PacketsPerSecond += f.PacketsPerSecond
	had.TCPFlags |= f.TCPFlags
	if f.First.Before(had.First) {
		had.First = f.First
	}
	if f.Last.After(had.Last) {
		had.Last = f.Last
	}
}
