package export_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"flowsensor/internal/export"
)

// After a downgrade: what a newer version has left is neither read nor set aside, and the refusal says what to do.
func TestNewerFormatsAreRefused(t *testing.T) {
	for name, write := range map[string]func(path string) error{
		"spool.db": func(path string) error {
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				return err
			}
			return errors.Join(db.Update(func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists([]byte("meta"))
				if err != nil {
					return err
				}
				return b.Put([]byte("format"), []byte("2"))
			}), db.Close())
		},
		export.StateName: func(path string) error {
			return os.WriteFile(path, []byte("flow-sensor export state 2\nsomething else\n"), 0o600)
		},
	} {
		dir := t.TempDir()
		cfg := spooling("127.0.0.1:9", newKey(t), dir)
		s, err := export.NewSender(cfg, slog.New(slog.DiscardHandler)) // makes both files
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := write(path); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = export.NewSender(cfg, slog.New(slog.DiscardHandler))
		if !errors.Is(err, export.ErrFormat) || !strings.Contains(err.Error(), path+" has format 2, this version knows 1") ||
			!strings.Contains(err.Error(), "install that one again") {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s was changed or moved: %v", name, err)
		}
		if entries, err := filepath.Glob(filepath.Join(dir, "*.damaged")); err != nil || entries != nil {
			t.Errorf("%s: set aside: %v, %v", name, entries, err)
		}
	}
}
