package export_test

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowsensor/internal/export"
	"flowsensor/internal/smalldisk"
)

// A spool that another sensor has open is not damaged: it must not be set aside, which would lose what is in it.
func TestSpoolInUseIsLeftAlone(t *testing.T) {
	key := newKey(t)
	f := newFar(t, key)
	f.stop()
	cfg := spooling(f.addr.String(), key, t.TempDir())
	cfg.SpoolDir = t.TempDir()
	first := run(t, cfg)
	b := first.Batcher("eth0")
	added := feed(b, 0, 3000)
	b.Close()
	eventually(t, "batches in the spool", func() bool { return first.Stats().SpoolBatches > 0 })

	other := cfg
	other.StateDir = t.TempDir()
	s, err := export.NewSender(other, slog.New(slog.DiscardHandler))
	if err == nil {
		_ = s.Close()
		t.Fatal("two sensors have one spool")
	}
	if text := err.Error(); !strings.Contains(text, "in use by another running sensor") || !strings.Contains(text, "spool_dir") {
		t.Error(text)
	}
	onlyTheSpool(t, cfg.SpoolDir)
	f.start()
	if stats := delivered(t, first, f, added); stats.DroppedTotal() != (export.Amount{}) {
		t.Errorf("dropped %+v", stats.Dropped)
	}
}

func onlyTheSpool(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "spool.db" {
		t.Errorf("%v, %v", entries, err)
	}
}

// A disk that cannot be written to at the start says nothing against the spool: what is in it is delivered once it can.
func TestSpoolOutlivesADiskThatFails(t *testing.T) {
	dir := smalldisk.Mount(t, "8m")
	key := newKey(t)
	f := newFar(t, key)
	f.stop()
	cfg := spooling(f.addr.String(), key, t.TempDir())
	cfg.SpoolDir = dir
	s, kill := begin(t, cfg)
	b := s.Batcher("eth0")
	added := feed(b, 0, 3000)
	b.Close()
	eventually(t, "all of it in the spool", func() bool { st := s.Stats(); return st.SpoolBatches > 0 && settledOnDisk(st) })
	kill()

	remount(t, dir, unix.MS_RDONLY)
	refused(t, cfg, unix.EROFS)
	remount(t, dir, 0)
	onlyTheSpool(t, dir)
	f.start()
	again := run(t, cfg)
	eventuallyIn(t, 10*time.Second, "delivery of what was spooled", func() bool { return again.Stats().Acked == added })
	again.drain(t)
}

func refused(t *testing.T, cfg export.Config, why error) {
	t.Helper()
	s, err := export.NewSender(cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		_ = s.Close()
	}
	if !errors.Is(err, why) || !strings.Contains(err.Error(), "are kept") {
		t.Errorf("%v, want %v", err, why)
	}
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, "size=8m,mode=0700"); err != nil {
		t.Fatal(err)
	}
}

// A spool that is left alone since its configuration was changed is told of, and kept.
func TestSpoolLeftBehindIsTold(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	f := newFar(t, key)
	f.stop()
	cfg := spooling(f.addr.String(), key, dir)
	s, kill := begin(t, cfg)
	b := s.Batcher("eth0")
	added := feed(b, 0, 3000)
	b.Close()
	eventually(t, "all of it in the spool", func() bool { st := s.Stats(); return st.SpoolBatches > 0 && settledOnDisk(st) })
	kill()
	const told = "a spool holds batches that are not sent"
	for name, change := range map[string]func(*export.Config){
		"sent once": func(c *export.Config) { c.Delivery = export.FireAndForget },
		"no spool":  func(c *export.Config) { c.SpoolSize = 0 },
	} {
		other, log := cfg, &syncBuffer{}
		change(&other)
		if err := newSenderLogged(t, other, log).Close(); err != nil {
			t.Error(err)
		}
		if !strings.Contains(log.String(), told) || !strings.Contains(log.String(), "records=3000") {
			t.Errorf("%s:\n%s", name, log.String())
		}
	}
	f.start()
	log := &syncBuffer{}
	again := runLogged(t, cfg, log)
	eventuallyIn(t, 10*time.Second, "delivery of what was spooled", func() bool { return again.Stats().Acked == added })
	again.drain(t)
	if strings.Contains(log.String(), told) {
		t.Error(log.String())
	}
}
