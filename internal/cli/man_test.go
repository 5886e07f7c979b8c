package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"flowsensor/internal/cli"
)

const example = `# Configuration of flow-test.

# Name of this test. Must be set.
id = "test-1"

# One table for each thing.
[[thing]]
name = "a\b"

[limits]
# Bounds of a thing: ` + "`flow-test check`" + ` knows them.
lowest = "1s"
highest = "2s"
# .5 is a half, ~ is home.
share = 0.5
`

// pages gives the manual of a small program.
func pages(t *testing.T) (command, config string) {
	t.Helper()
	var path string
	root := cli.Root(cli.Program{
		Name: "flow-test", Short: "Test the manual", Long: "flow-test tests.\n\nAll day:\n  flow-test --fast\n.that was it", Config: "/etc/flow-test/test.toml", Example: example,
	}, &path)
	work := &cobra.Command{Use: "work FILE", Short: "Work", Example: "  flow-test work x", RunE: func(*cobra.Command, []string) error { return nil }}
	work.Flags().Duration("pause", 0, "rest for this `time`")
	secret := &cobra.Command{Use: "secret", Hidden: true, RunE: work.RunE}
	root.AddCommand(work, secret)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	dir := t.TempDir()
	if status := cli.Execute(t.Context(), root, []string{"man", dir}); status != 0 {
		t.Fatalf("status %d: %s", status, out.String())
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return read("flow-test.8"), read("flow-test.toml.5")
}

func TestCommandPage(t *testing.T) {
	page, _ := pages(t)
	for _, want := range []string{
		".SH \"NAME\"\nflow\\-test \\- test the manual\n",
		"All day:\n.PP\n.nf\n.RS 4\nflow\\-test \\-\\-fast\n.RE\n.fi\n.PP\n\\&.that was it\n",
		".SS \"work FILE [flags]\"\nWork.\n.TP\n\\fB\\-\\-pause\\fR=\\fItime\\fR\nRest for this time.\n",
		"Examples:\n.PP\n.nf\n.RS 4\nflow\\-test work x\n",
		"\\fB\\-c\\fR, \\fB\\-\\-config\\fR=\\fIstring\\fR\nConfiguration file (default /etc/flow\\-test/test.toml).\n",
		".SS \"init [FILE]\"",
		"\\fB/etc/flow\\-test/keys/\\fR",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, hidden := range []string{"secret", "man DIRECTORY"} {
		if strings.Contains(page, hidden) {
			t.Errorf("the page tells of %q", hidden)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}

func TestConfigPage(t *testing.T) {
	_, page := pages(t)
	for _, want := range []string{
		".SH \"TOP LEVEL\"\n.TP\n\\fBid\\fR = \"test\\-1\"\nName of this test. Must be set.\n",
		".SH \"[[thing]]\"\nOne table for each thing.\n.TP\n\\fBname\\fR = \"a\\eb\"\n",
		".TP\n\\fBlowest\\fR = \"1s\"\n.TQ\n\\fBhighest\\fR = \"2s\"\nBounds of a thing: \\fBflow\\-test check\\fR knows them.\n",
		"\\fBshare\\fR = 0.5\n\\&.5 is a half, \\(ti is home.\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "Configuration of flow") || t.Failed() {
		t.Error(page)
	}
}
