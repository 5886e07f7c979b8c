package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"flowsensor/internal/cli"
	"flowsensor/internal/daemon"
)

func run(t *testing.T, args ...string) (status int, output string) {
	t.Helper()
	var config string
	root := cli.Root(cli.Program{Name: "flow-test", Short: "test", Config: "/etc/flow-test.toml", Example: "# text\n"}, &config)
	root.AddCommand(
		&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error { return errors.New("broken wire") }},
		&cobra.Command{Use: "refuse", RunE: func(*cobra.Command, []string) error {
			return daemon.ConfigError{Err: errors.New("bad key in " + config)}
		}},
	)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	return cli.Execute(t.Context(), root, args), out.String()
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		text   string
	}{
		{"version", 0, "flow-test "},
		{"--help", 0, "flow-test"},
		{"completion bash", 0, "flow-test"},
		{"fail", 1, "flow-test: broken wire\n"},
		{"refuse --config x.toml", 2, "flow-test: bad key in x.toml\n"},
		{"nonsense", 2, "Try 'flow-test --help'."},
		{"fail --nonsense", 2, "Try 'flow-test fail --help'."},
		{"version extra", 2, "unknown command"},
	} {
		status, text := run(t, strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: status %d, %q", c.args, status, text)
		}
	}
}

// Under systemd the lines that say why a service did not start are errors in its journal.
func TestErrorsHaveTheirPriorityInTheJournal(t *testing.T) {
	info, err := os.Stderr.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", st.Dev, st.Ino))
	if _, text := run(t, "refuse", "--config", "x.toml\ny.toml"); text != "<3>flow-test: bad key in x.toml\n<3>y.toml\n" {
		t.Errorf("got %q", text)
	}
	t.Setenv("JOURNAL_STREAM", "")
	if _, text := run(t, "fail"); text != "flow-test: broken wire\n" {
		t.Errorf("elsewhere: %q", text)
	}
}

func TestInitNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.toml")
	if status, text := run(t, "init", path); status != 0 {
		t.Fatalf("status %d: %s", status, text)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "# text\n" {
		t.Fatalf("wrote %q, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, text := run(t, "init", "--config", path); status != 2 || !strings.Contains(text, "left as it is") {
		t.Errorf("status %d: %s", status, text)
	}
	if got, _ := os.ReadFile(path); string(got) != "mine" {
		t.Errorf("the file now holds %q", got)
	}
	if status, text := run(t, "init", "-"); status != 0 || text != "# text\n" {
		t.Errorf("status %d: %q", status, text)
	}
}
