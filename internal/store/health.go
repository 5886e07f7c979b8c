package store

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// quietFor is how long the same trouble is not logged again when it comes and goes.
const quietFor = time.Minute

// health turns the fate of every single write into log lines about changes: trouble begins, changes its kind, is over.
type health struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	failing map[int]bool         // by writer
	kind    string               // of the trouble that was seen last, "" while all is well
	since   time.Time            // when the trouble began
	logged  map[string]time.Time // by kind
	told    bool                 // the trouble under way was logged
}

func newHealth(log *slog.Logger, now func() time.Time) *health {
	return &health{log: log, now: now, failing: make(map[int]bool), logged: make(map[string]time.Time)}
}

func (h *health) failed(writer int, e *Error, pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if h.kind == "" {
		h.since, h.told = now, false
	}
	h.failing[writer] = true
	kind := fmt.Sprintf("%s %d", e.Class, e.Code)
	if kind == h.kind {
		return
	}
	h.kind = kind
	if last, seen := h.logged[kind]; seen && now.Sub(last) < quietFor {
		return
	}
	h.logged[kind], h.told = now, true
	args := []any{"error", e, "class", e.Class, "retry_in", pause.Round(time.Millisecond)}
	if e.Remedy != "" {
		args = append(args, "remedy", e.Remedy)
	}
	if e.Class == Configuration {
		h.log.Error("flows are not stored before this is mended; they wait", args...)
		return
	}
	h.log.Warn("storing flows fails, trying again", args...)
}

func (h *health) succeeded(writer int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.failing[writer] && (len(h.failing) > 0 || h.kind == "") {
		return
	}
	delete(h.failing, writer)
	if len(h.failing) > 0 {
		return
	}
	h.kind = ""
	if h.told {
		h.log.Info("flows are stored again", "after", h.now().Sub(h.since).Round(time.Millisecond))
	}
}

// gone forgets a writer that was broken off. Whether the trouble is over the next one finds out.
func (h *health) gone(writer int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.failing, writer)
}

func (h *health) failingNow() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.failing)
}

// buried tells of dead letters, once in a while for each reason.
func (h *health) buried(letter Letter, path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	kind, now := "buried "+letter.Why.String(), h.now()
	if last, seen := h.logged[kind]; seen && now.Sub(last) < quietFor {
		return
	}
	h.logged[kind] = now
	h.log.Warn("flows that cannot be stored went to the dead-letter file; more of the kind in the next minute are only counted",
		"reason", letter.Why, "cause", bounded(letter.Cause, 300), "lines", letter.Lines.Len(), "file", path)
}
