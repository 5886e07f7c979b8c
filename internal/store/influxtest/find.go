package influxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec" //nolint:depguard // not part of a daemon: it starts a database for tests
	"path/filepath"
	"strings"
)

// Release is a version of influxd that tests use.
type Release string

// The releases.
const (
	// Debian is the influxd that the system's packages install (1.6.7 in Debian 12): it has /write alone.
	Debian Release = "debian"
	// V18 is 1.8.3, the last that Go modules can build: it has /api/v2/write and takes tokens.
	V18 Release = "1.8.3"
)

// ErrNotFound is what Find returns when there is no such server and none can be had. Its text says how to get one.
var ErrNotFound = errors.New("no influxd to test with")

// Find gives the path of an influxd. V18 is built through the Go module proxy the first time, which takes a minute, and
// kept in the user's cache directory.
func Find(ctx context.Context, r Release) (string, error) {
	switch r {
	case Debian:
		path, err := exec.LookPath("influxd")
		if err != nil {
			return "", fmt.Errorf("%w: apt-get install influxdb (%w)", ErrNotFound, err)
		}
		return path, nil
	case V18:
		return build(ctx, string(V18))
	default:
		return "", fmt.Errorf("%w: unknown release %q", ErrNotFound, r)
	}
}

func build(ctx context.Context, version string) (string, error) {
	const module = "github.com/influxdata/influxdb/cmd/influxd"
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	dir := filepath.Join(cache, "flowsensor-test")
	path := filepath.Join(dir, "influxd-"+version)
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	bin, err := os.MkdirTemp(dir, "build-*")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	defer func() { _ = os.RemoveAll(bin) }()
	cmd := exec.CommandContext(ctx, "go", "install", module+"@v"+version)
	cmd.Dir = bin
	cmd.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: go install %s@v%s: %w: %s", ErrNotFound, module, version, err, lastLine(out))
	}
	if err := os.Rename(filepath.Join(bin, "influxd"), path); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return path, nil
}

func lastLine(text []byte) string {
	text = bytes.TrimSpace(text)
	return strings.TrimSpace(string(text[bytes.LastIndexByte(text, '\n')+1:]))
}
