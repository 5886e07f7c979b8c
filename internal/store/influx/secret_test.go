package influx_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowsensor/internal/store/influx"
)

func TestSecretFileRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for part, path := range map[string]string{
		"no such file":         filepath.Join(dir, "none"),
		"not a regular file":   dir,
		"open to everybody":    file("open", "s3cret", 0o644),
		"chmod 0640":           file("writable", "s3cret", 0o602),
		"too long":             file("long", strings.Repeat("s3cret", 5000), 0o600),
		"one line of":          file("two", "s3cret\ns3cret\n", 0o600),
		"printable ASCII":      file("binary", "s3cret\x00", 0o600),
		"line of printable AS": file("unicode", "s3crét", 0o600),
	} {
		for _, cfg := range []influx.Config{
			{URL: "http://x", API: influx.V2, Bucket: "b", TokenFile: path},
			{URL: "http://x", API: influx.V1, Database: "d", Username: "u", PasswordFile: path},
		} {
			_, err := influx.Open(cfg)
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v", part, err)
			}
			if err != nil && strings.Contains(err.Error(), "s3cr") && !strings.Contains(err.Error(), path) {
				t.Errorf("%s: the error repeats the secret: %v", part, err)
			}
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file("good", "token\n", 0o440), link); err != nil {
		t.Fatal(err)
	}
	open(t, influx.Config{URL: "http://x", API: influx.V2, Bucket: "b", TokenFile: link})
}

// TestSecretsStayIn: whatever the server and what stands before it says, no error repeats a secret.
func TestSecretsStayIn(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://elsewhere/x?token="+r.Header.Get("Authorization"))
		w.WriteHeader(map[string]int{"a": 401, "b": 302, "c": 400}[r.URL.Query().Get("bucket")])
		_, _ = w.Write([]byte(`{"error":"you said ` + r.Header.Get("Authorization") + `"}`))
	}))
	defer server.Close()
	for _, bucket := range []string{"a", "b", "c"} {
		w := open(t, influx.Config{URL: server.URL, API: influx.V2, Bucket: bucket, TokenFile: secret(t, "user:s3cret")})
		err := w.Write(t.Context(), lines("m v=1i 1\n"))
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("bucket %s: %v", bucket, err)
		}
		if e := asError(t, err); strings.Contains(e.Remedy, "s3cret") {
			t.Errorf("bucket %s: %v", bucket, e.Remedy)
		}
	}
}

func TestReload(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	path := secret(t, "old")
	w := open(t, influx.Config{URL: server.URL, API: influx.V3, Database: "d", TokenFile: path})
	write := func(want string) {
		t.Helper()
		if err := w.Write(t.Context(), lines("m v=1i 1\n")); err != nil || got != "Bearer "+want {
			t.Errorf("%q, %v; want %s", got, err, want)
		}
	}
	write("old")
	if err := os.WriteFile(path, []byte("new"), 0o640); err != nil {
		t.Fatal(err)
	}
	write("old")
	if err := w.Reload(); err != nil {
		t.Fatal(err)
	}
	write("new")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := w.Reload(); err == nil {
		t.Error("reloaded a file that is gone")
	}
	write("new")
}
