package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"flowsensor/internal/seal"
)

// shows reports whether text holds the key in any form that one could read it from.
func shows(t *testing.T, text string) bool {
	t.Helper()
	raw, err := base64.URLEncoding.DecodeString(specKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{
		specKey[:8], string(raw[:6]), hex.EncodeToString(raw[:4]), strings.ToUpper(hex.EncodeToString(raw[:4])),
		fmt.Sprintf("%d %d %d", raw[0], raw[1], raw[2]), fmt.Sprintf("%#x, %#x, %#x", raw[0], raw[1], raw[2]),
	} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

func TestKeyIsRedacted(t *testing.T) {
	k := parse(t, specKey)
	sealer, err := seal.NewSealer("edge-1", k)
	if err != nil {
		t.Fatal(err)
	}
	hidden := struct {
		k  seal.Key
		ks []seal.Key
	}{k, []seal.Key{k}}
	sensor := seal.Sensor{ID: "edge-1", Keys: []seal.Key{k}}
	values := []any{k, &k, hidden, sensor, []seal.Key{k}, map[string]seal.Key{"k": k}, sealer, *sealer, opener(t, sensor)}
	for verb := range strings.SplitSeq("v +v #v s q x X d o O b c U e g t T p w", " ") {
		for _, v := range values {
			if text := fmt.Sprintf("%"+verb, v); shows(t, text) {
				t.Errorf("%%%s of %T shows the key: %s", verb, v, text)
			}
		}
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		for _, v := range values {
			slog.New(handler).Info("a key", "key", v)
		}
	}
	if shows(t, log.String()) {
		t.Errorf("the log shows the key: %s", log.String())
	}
	text, err := json.Marshal(sensor)
	if err != nil || !strings.Contains(string(text), `"[redacted]"`) {
		t.Errorf("JSON is %s, %v", text, err)
	}
	if got := fmt.Sprint(k, k.String(), k.GoString()); strings.Count(got, "[redacted]") != 3 {
		t.Errorf("printed as %s", got)
	}
}

func TestParseKey(t *testing.T) {
	k := parse(t, specKey)
	if k.Encode() != specKey {
		t.Errorf("%s came back as %s", specKey, k.Encode())
	}
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(specKey)
	for _, text := range []string{" \t" + specKey + "\r\n", standard} {
		if !parse(t, text).Equal(k) {
			t.Errorf("%q is another key", text)
		}
	}
	for _, text := range []string{
		"", " ", specKey[:43], specKey + "=", specKey[:42] + "==", "!" + specKey[1:], specKey[:20] + "\n" + specKey[20:], specKey + "\n" + specKey,
		strings.Repeat("ab", 32), specKey[:22] + "=" + specKey[23:],
	} {
		_, err := seal.ParseKey(text)
		if !errors.Is(err, seal.ErrKey) || shows(t, err.Error()) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestGenerateKey(t *testing.T) {
	a, b := newKey(t), newKey(t)
	if a.Equal(b) || a.IsZero() || !a.Equal(parse(t, a.Encode())) {
		t.Error("generated keys are equal, zero or do not survive their text")
	}
	var zero seal.Key
	if !zero.IsZero() || zero.Equal(a) || a.Equal(zero) || !zero.Equal(zero) || zero.Encode() != "" || zero.String() != "[redacted]" {
		t.Error("the zero key is mistaken for a key")
	}
}

// keyFile writes a file with exactly that mode.
func keyFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // past the umask
		t.Fatal(err)
	}
	return path
}

func symlink(t *testing.T, target string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadKeyFile(t *testing.T) {
	good := keyFile(t, specKey+"\n", 0o640)
	for name, path := range map[string]string{
		"0640": good, "0400": keyFile(t, specKey, 0o400), "0440": keyFile(t, " "+specKey, 0o440),
		"link": symlink(t, good), "link to a link": symlink(t, symlink(t, good)),
	} {
		if k, err := seal.LoadKeyFile(path); err != nil || k.Encode() != specKey {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoadKeyFileRefuses(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	public := keyFile(t, specKey, 0o644)
	for _, c := range []struct {
		path string
		want error
		says string
	}{
		{public, seal.ErrKeyFile, "mode 0644 lets everyone read it: chmod 0640"},
		{symlink(t, public), seal.ErrKeyFile, "mode 0644 lets everyone read it: chmod 0640"},
		{keyFile(t, specKey, 0o660), seal.ErrKeyFile, "mode 0660 lets others than its owner write it: chmod 0640"},
		{keyFile(t, specKey, 0o602), seal.ErrKeyFile, "mode 0602 lets others than its owner write it: chmod 0640"},
		{keyFile(t, "", 0o600), seal.ErrKeyFile, "empty"},
		{keyFile(t, specKey+strings.Repeat(" ", 1024), 0o600), seal.ErrKeyFile, "1068 octets"},
		{t.TempDir(), seal.ErrKeyFile, "not a regular file"},
		{fifo, seal.ErrKeyFile, "not a regular file"},
		{"/dev/zero", seal.ErrKeyFile, "not a regular file"},
		{filepath.Join(t.TempDir(), "none"), os.ErrNotExist, "no such file"},
		{keyFile(t, "x"+specKey, 0o600), seal.ErrKey, "44 characters"},
		{keyFile(t, specKey+"\n"+specKey+"\n", 0o600), seal.ErrKey, "44 characters"},
	} {
		_, err := seal.LoadKeyFile(c.path)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.path, err)
		} else if text := err.Error(); !strings.Contains(text, c.says) || !strings.Contains(text, c.path) || shows(t, text) {
			t.Errorf("the error does not say %q, not which file, or shows the key: %v", c.says, err)
		}
	}
}

// The fingerprint is the same for the same key, another for another, and does not change between versions: it is compared by
// people on two machines.
func TestFingerprint(t *testing.T) {
	k := parse(t, specKey)
	if got := k.Fingerprint(); got != "c146-5cf9-5815-b40d" || shows(t, got) {
		t.Errorf("got %s", got)
	}
	if a := newKey(t); a.Fingerprint() == newKey(t).Fingerprint() || a.Fingerprint() != parse(t, a.Encode()).Fingerprint() {
		t.Error("a fingerprint does not tell keys apart, or changes")
	}
	if got := (seal.Key{}).Fingerprint(); got != "" {
		t.Errorf("no key has %q", got)
	}
}
