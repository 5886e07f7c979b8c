package store_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
)

func row(i int) flow.Row {
	return flow.Row{
		Measurement: "traffic", Tags: []flow.Tag{{Key: "proto", Value: "6"}, {Key: "sensor", Value: "edge-1"}},
		Fields: []flow.Field{flow.Int("bytes", int64(i))}, Time: 1_700_000_000_000_000_000 + int64(i),
	}
}

func TestEncodeRow(t *testing.T) {
	r := flow.Row{
		Measurement: "conversation", Time: 1_700_000_000_000_000_001,
		Tags: []flow.Tag{{Key: "a", Value: "x y,z=\n"}, {Key: "none"}, {Key: "sensor", Value: `edge\`}},
		Fields: []flow.Field{
			flow.Int("bytes", math.MaxInt64), flow.Float("share", 0.5), flow.Text("name", "say \"hi\"\nbytes=1i"), flow.Text("none", ""),
		},
	}
	var lines store.Lines
	if _, err := store.NewEncoder().EncodeRow(&lines, &r); err != nil {
		t.Fatal(err)
	}
	want := `conversation,a=x\ y\,z\=_,sensor=edge_ bytes=9223372036854775807i,share=0.5,name="say \"hi\"_bytes=1i" 1700000000000000001` + "\n"
	if got := string(lines.Bytes()); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	if c := lines.Count(); c != (store.Count{Rows: 1}) {
		t.Errorf("counts as %+v", c)
	}
}

// A row that makes no line leaves nothing behind it.
func TestEncodeRowRefuses(t *testing.T) {
	e := store.NewEncoder()
	for name, spoil := range map[string]func(*flow.Row){
		"time":        func(r *flow.Row) { r.Time = -1 },
		"no field":    func(r *flow.Row) { r.Fields = nil },
		"empty field": func(r *flow.Row) { r.Fields = []flow.Field{flow.Text("name", "")} },
		"not finite":  func(r *flow.Row) { r.Fields[0] = flow.Float("share", math.NaN()) },
		"kind":        func(r *flow.Row) { r.Fields[0].Kind = 0 },
		"tag order":   func(r *flow.Row) { slices.Reverse(r.Tags) },
		"measurement": func(r *flow.Row) { r.Measurement = "" },
	} {
		var lines store.Lines
		good, bad := row(1), row(2)
		spoil(&bad)
		for _, r := range []*flow.Row{&good, &bad, &good} {
			if _, err := e.EncodeRow(&lines, r); (err != nil) != (r == &bad) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if text := string(lines.Bytes()); lines.Len() != 2 || strings.Count(text, "traffic,proto=6,sensor=edge-1 bytes=1i ") != 2 {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// rows gives n rows, of which every tenth makes no line and every seventh is refused by the database.
func rows(n int) func(func(*flow.Row) bool) {
	return func(yield func(*flow.Row) bool) {
		for i := range n {
			r := row(i)
			switch {
			case i%10 == 0:
				r.Fields = nil
			case i%7 == 0:
				r.Tags[1].Value = "bad"
			}
			if !yield(&r) {
				return
			}
		}
	}
}

// Rows are stored with the patience of batches: repeated, told apart, buried, and all of them counted.
func TestWriteRows(t *testing.T) {
	const n = 1000
	fails := 1
	f := &fake{}
	f.judge = func(lines []string) error {
		if fails--; fails >= 0 {
			return errors.New("away")
		}
		if slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "sensor=bad") }) {
			return &store.Error{Class: store.Refused, Err: errors.New("refused"), Why: store.DeadRefused}
		}
		return nil
	}
	s := newSetup(t, small(), f, 1<<20)
	s.start()
	if err := s.WriteRows(t.Context(), rows(n)); err != nil {
		t.Fatal(err)
	}
	invalid, refused := 0, 0
	for i := range n {
		if i%10 == 0 {
			invalid++
		} else if i%7 == 0 {
			refused++
		}
	}
	if got := len(f.points); got != n-invalid-refused {
		t.Errorf("%d points, want %d", got, n-invalid-refused)
	}
	st := s.Stats()
	if st.Submitted.Rows != n || st.Written.Rows != uint64(n-invalid-refused) || st.Pending.Rows != 0 ||
		st.DeadLettered[store.DeadLineInvalid].Rows != uint64(invalid) || st.DeadLettered[store.DeadRefused].Rows != uint64(refused) {
		t.Errorf("%+v", st)
	}
	if err := s.finish(t, 10*time.Second); err != nil {
		t.Error(err)
	}
	s.conserved(t)
}

// When the time is over the rest is counted, and the caller is told.
func TestWriteRowsInVain(t *testing.T) {
	f := &fake{judge: func([]string) error { return errors.New("away") }}
	s := newSetup(t, small(), f, 1<<20)
	s.start()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.WriteRows(ctx, rows(100)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if st := s.Stats(); st.Pending.Rows != 0 || st.Submitted.Rows != st.Dropped[store.DropShutdown].Rows+st.DeadLettered[store.DeadLineInvalid].Rows {
		t.Errorf("%+v", st)
	}
	if err := s.finish(t, 10*time.Second); err != nil {
		t.Error(err) // the rows' caller knows already
	}
}

// A call of WriteRows that was broken off waits for nothing any more, and the end of the trouble is told by whoever writes next.
func TestBrokenOffRowsAreNoFailingWriter(t *testing.T) {
	away := true
	f := &fake{judge: func([]string) error {
		if away {
			return errors.New("away")
		}
		return nil
	}}
	s := newSetup(t, small(), f, 1<<20)
	s.start()
	good := func(yield func(*flow.Row) bool) {
		one := row(1)
		yield(&one)
	}
	for range 3 { // as sessions of the journal come and go
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := s.WriteRows(ctx, good); err == nil {
			t.Error("written")
		}
		cancel()
	}
	if n := s.Stats().Failing; n != 0 {
		t.Errorf("%d writers are failing", n)
	}
	if n := s.log.count("storing flows fails"); n != 1 {
		t.Errorf("the trouble was logged %d times", n)
	}
	f.mu.Lock()
	away = false
	f.mu.Unlock()
	if err := s.WriteRows(t.Context(), good); err != nil {
		t.Error(err)
	}
	if n := s.log.count("flows are stored again"); n != 1 {
		t.Errorf("its end was logged %d times", n)
	}
	if err := s.finish(t, 10*time.Second); err != nil {
		t.Error(err)
	}
}

// What the rules made of a record stands in its point as fields; what they discard, and what is not wanted, gets no point
// and is counted.
func TestAttributed(t *testing.T) {
	b := &flow.Batch{Sensor: "edge-1", Base: 1_700_000_000_000_000_000, Networks: flow.Networks{{Name: "unknown"}, {Name: "office", Ours: true}}}
	for i := range 4 {
		b.Records = append(b.Records, flow.Record{
			Key:     flow.Key{Version: 4, Src: flow.Addr{Lo: 1}, Dst: flow.Addr{Lo: 2}, SrcPort: 443, DstPort: 4000, Proto: flow.ProtoTCP},
			Packets: uint64(i + 1), Bytes: 100, First: 1, Last: 1, EndReason: flow.EndIdle,
		})
	}
	b.Attributions = make([]flow.Attribution, 4)
	b.Attributions[0] = flow.Attribution{
		Evidence: flow.EvidenceLowerPort, FromServer: true, ServicePort: 443, ClientNetwork: 1, Direction: flow.DirectionIn,
		ServerAS: 64500, ServerASName: "Example \"AS\"", ServerName: "www.example",
	}
	b.Attributions[1].Drop = true
	b.Attributions[2].Evidence, b.Attributions[2].ServerNetwork = flow.EvidenceTie, 1
	f := &fake{wanted: func(a *flow.Attribution, _ flow.Networks) bool { return a.ClientNetwork == 1 || a.Evidence == 0 }}
	s := newSetup(t, small(), f, 1<<20)
	s.start()
	if err := s.Submit(b); err != nil {
		t.Fatal(err)
	}
	if err := s.finish(t, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range f.points {
		_, after, _ := strings.Cut(line, `end_reason="idle"`)
		got = append(got, fmt.Sprint(strings.TrimSpace(after)))
	}
	slices.Sort(got)
	want := []string{
		"1700000000000000003",
		`,src_as_name="Example \"AS\"",server_name="www.example",client="dst",service_port=443i,direction="in",` +
			`client_network="office",server_network="unknown" 1700000000000000000`,
	}
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if c := s.Stats().Withheld; c != (store.Count{Records: 2, Packets: 5, Bytes: 200}) {
		t.Errorf("withheld %+v", c)
	}
	s.conserved(t)
}
