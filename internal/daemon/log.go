package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/journal"
)

// NewLogger makes the program's logger on stderr. Where stderr goes to the journal, lines carry the priority prefix of
// sd-daemon(3) and no time of their own. level is debug, info, warn or error; format is auto, text or json.
func NewLogger(level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf(`log level %q: want debug, info, warn or error`, level)
	}
	toJournal, err := journal.StderrIsJournalStream()
	if err != nil {
		toJournal = false // no journal to be found is not a reason to stay silent
	}
	switch format {
	case "auto":
		if toJournal {
			return slog.New(newJournalHandler(os.Stderr, l)), nil
		}
		fallthrough
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
	default:
		return nil, fmt.Errorf("log format %q: want auto, text or json", format)
	}
}

// WriteError writes text to out, the program's stderr. Where that goes to the journal each line carries the priority of an
// error: `journalctl -p err` says why a service did not start.
func WriteError(out io.Writer, text string) (int, error) {
	if toJournal, err := journal.StderrIsJournalStream(); err == nil && toJournal {
		text = prefixed(slog.LevelError, text)
	}
	return io.WriteString(out, text)
}

func prefixed(level slog.Level, text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		fmt.Fprintf(&lines, "<%d>%s", priority(level), line)
	}
	return lines.String()
}

// journalHandler prefixes each line with its syslog priority, as sd-daemon(3) describes.
type journalHandler struct {
	slog.Handler
	shared *journalOutput
}

type journalOutput struct {
	mu  sync.Mutex // protects line, and keeps prefix and line together
	out io.Writer
	buf bytes.Buffer
}

func newJournalHandler(out io.Writer, level slog.Leveler) journalHandler {
	shared := &journalOutput{out: out}
	dropTimeAndLevel := func(groups []string, a slog.Attr) slog.Attr {
		_, level := a.Value.Any().(slog.Level)
		if len(groups) == 0 && (level || a.Key == slog.TimeKey) {
			return slog.Attr{}
		}
		return a
	}
	text := slog.NewTextHandler(&shared.buf, &slog.HandlerOptions{Level: level, ReplaceAttr: dropTimeAndLevel})
	return journalHandler{Handler: text, shared: shared}
}

func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	h.shared.buf.Reset()
	fmt.Fprintf(&h.shared.buf, "<%d>", priority(r.Level))
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.shared.out.Write(h.shared.buf.Bytes())
	return err
}

func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalHandler{Handler: h.Handler.WithAttrs(attrs), shared: h.shared}
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	return journalHandler{Handler: h.Handler.WithGroup(name), shared: h.shared}
}

// priority maps a level to syslog(3)'s: err, warning, info, debug.
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	default:
		return 7
	}
}
