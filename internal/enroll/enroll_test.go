package enroll_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"flowsensor/internal/enroll"
	"flowsensor/internal/seal"
	"flowsensor/internal/testgate"
)

func folder(t *testing.T) enroll.Folder {
	t.Helper()
	f, err := enroll.Beside(filepath.Join(t.TempDir(), "collector.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newKey(tb testing.TB) seal.Key {
	tb.Helper()
	key, err := seal.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// names lists the folder's files, temporary ones included.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// add adds edge-1 and says where its key files stand.
func add(t *testing.T, f enroll.Folder) (enroll.Sensor, enroll.Table) {
	t.Helper()
	s, err := f.Add("edge-1", []string{"192.0.2.0/24"}, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return s, enroll.Table{Path: filepath.Join(f.Tables, "edge-1.toml"), Line: 3}
}

func TestAdd(t *testing.T) {
	f := folder(t)
	if err := os.MkdirAll(f.Keys, 0o750); err != nil {
		t.Fatal(err)
	}
	group := os.Getgid()
	if os.Geteuid() == 0 { // as the packages lay it out: the key gets the folder's group
		group = 12345
		if err := os.Chown(f.Keys, 0, group); err != nil {
			t.Fatal(err)
		}
	}
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	key := newKey(t)
	s, err := f.Add("edge-1", nil, key)
	if err != nil {
		t.Fatal(err)
	}
	want := "[[sensor]]\nid = \"edge-1\"\nkey_files = [\"" + f.Keys + "/edge-1.key\"]\nprefixes = []\n"
	if got := read(t, filepath.Join(f.Tables, "edge-1.toml")); got != want {
		t.Errorf("the drop-in is\n%s\nwant\n%s", got, want)
	}
	if got, err := seal.LoadKeyFile(s.KeyFiles[0]); err != nil || !got.Equal(key) {
		t.Errorf("the key did not arrive: %v", err)
	}
	info, err := os.Stat(s.KeyFiles[0])
	if err != nil || info.Mode().Perm() != 0o640 || int(info.Sys().(*syscall.Stat_t).Gid) != group {
		t.Errorf("the key file is %v, %v", info, err)
	}
	if info, err = os.Stat(filepath.Join(f.Tables, "edge-1.toml")); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the drop-in is %v, %v", info, err)
	}
}

// What is there stays, and a refusal leaves nothing behind.
func TestAddRefuses(t *testing.T) {
	f := folder(t)
	add(t, f)
	before := read(t, filepath.Join(f.Tables, "edge-1.toml")) + read(t, filepath.Join(f.Keys, "edge-1.key"))
	if _, err := f.Add("edge-1", nil, newKey(t)); !errors.Is(err, enroll.ErrExists) {
		t.Errorf("the key was replaced: %v", err)
	}
	if err := os.WriteFile(filepath.Join(f.Tables, "edge-2.toml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Add("edge-2", nil, newKey(t)); !errors.Is(err, enroll.ErrExists) {
		t.Errorf("the drop-in was replaced: %v", err)
	}
	if after := read(t, filepath.Join(f.Tables, "edge-1.toml")) + read(t, filepath.Join(f.Keys, "edge-1.key")); after != before {
		t.Error("what was there has changed")
	}
	if got := append(names(t, f.Tables), names(t, f.Keys)...); !slices.Equal(got, []string{"edge-1.toml", "edge-2.toml", "edge-1.key"}) {
		t.Errorf("left behind: %v", got)
	}
}

// A key that was put into its place by hand, as the manual of earlier versions said, is taken as it is and put right.
func TestAddTakesTheKeyThatIsThere(t *testing.T) {
	f := folder(t)
	key := newKey(t)
	if err := os.Mkdir(f.Keys, 0o750); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.Keys, "edge-1.key")
	if err := os.WriteFile(path, []byte(key.Encode()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Add("edge-1", nil, key); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestRotate(t *testing.T) {
	f := folder(t)
	s, at := add(t, f)
	commented := "# ours\n" + read(t, at.Path) + "# the end\n"
	if err := os.WriteFile(at.Path, []byte(commented), 0o644); err != nil {
		t.Fatal(err)
	}
	at.Line++
	key := newKey(t)
	both, err := f.Rotate(s, at, key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := seal.LoadKeyFile(both.KeyFiles[0]); err != nil || !got.Equal(key) || both.KeyFiles[1] != s.KeyFiles[0] {
		t.Errorf("rotated to %v, %v", both.KeyFiles, err)
	}
	want := strings.Replace(commented, `["`+s.KeyFiles[0], `["`+both.KeyFiles[0]+`", "`+s.KeyFiles[0], 1)
	if got := read(t, at.Path); got != want {
		t.Errorf("the drop-in is\n%s\nwant\n%s", got, want)
	}
	if _, err := f.Rotate(both, at, newKey(t)); !errors.Is(err, enroll.ErrRotating) {
		t.Errorf("a third key: %v", err)
	}
	one, err := f.Finish(both, at)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, f.Keys); len(got) != 1 || filepath.Join(f.Keys, got[0]) != one.KeyFiles[0] {
		t.Errorf("keys left: %v", got)
	}
	if _, err := f.Finish(one, at); !errors.Is(err, enroll.ErrOneKey) {
		t.Errorf("the only key: %v", err)
	}
}

// What a hand has written in another form is left to the hand.
func TestRotateLeavesOtherForms(t *testing.T) {
	for _, form := range []string{"key_files = [\n  \"K\",\n]\n", "key_files = [\"K\"] # ours\n", "'key_files' = [\"K\"]\n", "note = \"\"\"\nkey_files = []\n\"\"\"\n"} {
		f := folder(t)
		s, at := add(t, f)
		text := "[[sensor]]\nid = \"edge-1\"\n" + strings.ReplaceAll(form, "K", s.KeyFiles[0])
		if err := os.WriteFile(at.Path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		at.Line = 3
		if strings.HasPrefix(form, "note") {
			at.Line = 4
		}
		if _, err := f.Rotate(s, at, newKey(t)); !errors.Is(err, enroll.ErrByHand) || !strings.Contains(err.Error(), at.Path+":") {
			t.Errorf("%q: %v", form, err)
		}
		if read(t, at.Path) != text || len(names(t, f.Keys)) != 1 {
			t.Errorf("%q: something was left or changed: %v", form, names(t, f.Keys))
		}
	}
}

func TestRemove(t *testing.T) {
	f := folder(t)
	s, at := add(t, f)
	elsewhere := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(elsewhere, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Remove(at.Path), f.RemoveKeys(append(s.KeyFiles, elsewhere))); err != nil {
		t.Fatal(err)
	}
	if left := append(names(t, f.Tables), names(t, f.Keys)...); left != nil {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(elsewhere); err != nil {
		t.Errorf("a key that is none of ours: %v", err)
	}
}

func TestDropins(t *testing.T) {
	f := folder(t)
	if got, err := f.Dropins(); got != nil || err != nil {
		t.Errorf("without a folder: %v, %v", got, err)
	}
	if err := os.Mkdir(f.Tables, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b.toml", "a.toml", ".new-1.toml", "a.toml~", "README"} {
		if err := os.WriteFile(filepath.Join(f.Tables, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := f.Dropins(); err != nil || !slices.Equal(got, []string{filepath.Join(f.Tables, "a.toml"), filepath.Join(f.Tables, "b.toml")}) {
		t.Errorf("%v, %v", got, err)
	}
}

// Root reads every key; the service only those of its group.
func TestInspectKeyKnowsTheServicesGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		const remedy = "needs root to give a file away: run with sudo"
		testgate.Skip(t, remedy)
	}
	f := folder(t)
	s, _ := add(t, f)
	if _, err := enroll.InspectKey(s.KeyFiles[0]); err != nil {
		t.Error(err)
	}
	const service = 12345
	for name, c := range map[string]struct {
		folder, uid, gid int
		mode             os.FileMode
		want             string
	}{
		"the folder's group": {service, 0, service, 0o640, ""},
		"another group":      {service, 0, 0, 0o640, "chgrp --reference=" + f.Keys},
		"made by root":       {service, 0, 0, 0o600, "chgrp --reference=" + f.Keys},
		"not for the group":  {service, 0, service, 0o600, "mode 0600 keeps it from the service's group: chmod 0640 "},
		"the service's own":  {service, service, 0, 0o600, ""},
		"all root's":         {0, 0, 0, 0o600, ""},
		"given away":         {0, 0, service, 0o640, "chgrp --reference=" + f.Keys},
	} {
		err := errors.Join(os.Chown(f.Keys, 0, c.folder), os.Chown(s.KeyFiles[0], c.uid, c.gid), os.Chmod(s.KeyFiles[0], c.mode))
		if err != nil {
			t.Fatal(err)
		}
		_, err = enroll.InspectKey(s.KeyFiles[0])
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
