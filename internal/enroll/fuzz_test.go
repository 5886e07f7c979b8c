package enroll_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/BurntSushi/toml"

	"flowsensor/internal/enroll"
)

// Whatever a hand has written: a rotation that succeeds has changed the key files of that table and nothing else, and one that is
// refused has changed nothing.
func FuzzRotate(f *testing.F) {
	f.Add("[[sensor]]\nid = \"edge-1\"\nkey_files = [\"k\"]\nprefixes = []\n", 3, 0)
	f.Add("[[sensor]]\nid = \"a\"\nkey_files = [\"k\"]\n[[sensor]]\nid = \"edge-1\"\n  key_files=['k'] \r\nnote = '''\nkey_files = []\n'''", 6, 1)
	f.Add("sensor = [\n{ id = \"edge-1\",\nkey_files = [\"k\"]\n}]\n", 3, 0)
	f.Add("[[sensor]]\n[[sensor.key]]\nkey_files = []", 3, 0)
	key := newKey(f)
	f.Fuzz(func(t *testing.T, text string, line, index int) {
		dir := t.TempDir()
		folder := enroll.Folder{Tables: dir, Keys: filepath.Join(dir, "keys")}
		path := filepath.Join(dir, "x.toml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if index < 0 {
			return
		}
		s, err := folder.Rotate(enroll.Sensor{ID: "edge-1", KeyFiles: []string{"k"}}, enroll.Table{Path: path, Index: index, Line: line}, key)
		after := read(t, path)
		if err != nil {
			if !errors.Is(err, enroll.ErrByHand) || after != text || len(names(t, folder.Keys)) != 0 {
				t.Fatalf("refused with %v, %q became %q, keys %v", err, text, after, names(t, folder.Keys))
			}
			return
		}
		was, is := sensors(t, text), sensors(t, after)
		was[index]["key_files"] = []any{s.KeyFiles[0], s.KeyFiles[1]}
		if !reflect.DeepEqual(was, is) {
			t.Fatalf("%q became %q", text, after)
		}
	})
}

func sensors(t *testing.T, text string) []map[string]any {
	t.Helper()
	var tree struct{ Sensor []map[string]any }
	if _, err := toml.Decode(text, &tree); err != nil {
		t.Fatal(err)
	}
	return tree.Sensor
}
