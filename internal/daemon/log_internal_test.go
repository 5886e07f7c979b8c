package daemon

import (
	"bytes"
	"log/slog"
	"testing"
)

func TestJournalHandlerPrefixesPriority(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newJournalHandler(&out, slog.LevelInfo)).With("iface", "eth1")
	log.Debug("hidden")
	log.Info("ready", "level", "x")
	log.Warn("slow")
	log.WithGroup("g").Error("gone", "n", 1)
	const want = "<6>msg=ready iface=eth1 level=x\n<4>msg=slow iface=eth1\n<3>msg=gone iface=eth1 g.n=1\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
