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

const operations = `# flow-test in operation

## First steps

In two
lines.

1. First ` + "`this`" + `,
   at length.
2. Then that.

- What else.

    flow-test work
    .x
`

// pages gives the manual of a small program.
func pages(t *testing.T) (command, config, daemon string) {
	t.Helper()
	var path string
	root := cli.Root(cli.Program{
		Name: "flow-test", Short: "Test the manual", Long: "flow-test tests.\n\nAll day:\n  flow-test --fast\n.that was it", Config: "/etc/flow-test/test.toml", Example: example,
	}, &path)
	work := &cobra.Command{Use: "work FILE", Short: "Work", Example: "  flow-test work x", RunE: func(*cobra.Command, []string) error { return nil }}
	work.Flags().Duration("pause", 0, "rest for this `time`")
	secret := &cobra.Command{Use: "secret", Hidden: true, RunE: work.RunE}
	group := &cobra.Command{Use: "group", Long: "All things."}
	group.AddCommand(&cobra.Command{Use: "add ID", Short: "Add a thing", RunE: work.RunE})
	run := &cobra.Command{Use: "run", Short: "Run", Long: "Run until told to stop.", RunE: work.RunE}
	root.AddCommand(work, secret, group, run)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	dir := t.TempDir()
	operation := filepath.Join(dir, "operation.md")
	if err := os.WriteFile(operation, []byte(operations), 0o644); err != nil {
		t.Fatal(err)
	}
	if status := cli.Execute(t.Context(), root, []string{"man", dir, operation}); status != 0 {
		t.Fatalf("status %d: %s", status, out.String())
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return read("flow-test.1"), read("flow-test.toml.5"), read("flow-test.8")
}

func TestCommandPage(t *testing.T) {
	page, _, _ := pages(t)
	for _, want := range []string{
		".SH \"NAME\"\nflow\\-test \\- test the manual\n",
		"All day:\n.PP\n.nf\n.RS 4\nflow\\-test \\-\\-fast\n.RE\n.fi\n.PP\n\\&.that was it\n",
		".SS \"work FILE [flags]\"\nWork.\n.TP\n\\fB\\-\\-pause\\fR=\\fItime\\fR\nRest for this time.\n",
		"Examples:\n.PP\n.nf\n.RS 4\nflow\\-test work x\n",
		"\\fB\\-c\\fR, \\fB\\-\\-config\\fR=\\fIstring\\fR\nConfiguration file (default /etc/flow\\-test/test.toml).\n",
		".SS \"init [FILE]\"",
		".SS \"group\"\nAll things.\n.SS \"group add ID\"\nAdd a thing.\n",
		"\\fBflow\\-test\\fR(8)",
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

func TestDaemonPage(t *testing.T) {
	_, _, page := pages(t)
	for _, want := range []string{
		"[\\fB\\-\\-config\\fR=\\fIFILE\\fR] \\fBrun\\fR\n",
		"Run until told to stop.\n",
		".SH \"FIRST STEPS\"\n.PP\nIn two\nlines.\n.IP 1. 4\nFirst \\fBthis\\fR,\nat length.\n.IP 2. 4\nThen that.\n.IP \\(bu 4\nWhat else.\n",
		".PP\n.nf\n.RS 4\nflow\\-test work\n\\&.x\n.RE\n.fi\n.PP\n.SH \"EXIT STATUS\"\n",
		"\\fB/etc/flow\\-test/keys/\\fR",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "in operation") || t.Failed() {
		t.Error(page)
	}
}

func TestConfigPage(t *testing.T) {
	_, page, _ := pages(t)
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
