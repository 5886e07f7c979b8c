package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"flowsensor/internal/build"
)

// configPage is the page of section 5. It is made from the example configuration, which holds every key: what stands
// above a key is its description, what stands behind the equals sign is its default. Keys without a description of their own
// share the one above them. A # without a space behind it hides a setting that is not there by default.
func configPage(out io.Writer, p Program) error {
	r := &roff{out: out}
	r.macro("TH", strings.ToUpper(p.Name)+".TOML", "5", "", p.Name+" "+build.Version(), "File Formats")
	r.macro("SH", "NAME")
	r.line(escape(p.Name+".toml") + ` \- configuration of ` + escape(p.Name))
	r.macro("SH", "SYNOPSIS")
	r.line(strong(p.Config))
	r.macro("SH", "DESCRIPTION")
	r.text(fmt.Sprintf("A TOML file (https://toml.io/en/v1.0.0). Each key stands here with its default, or with an example where it says that it must be set. "+
		"A key that is unknown is an error with its line, and so is a value out of its bounds: `%s check` says all of them at once. "+
		"Sizes are texts such as \"64MiB\", durations such as \"1m30s\".", p.Name))
	page := &configText{roff: r}
	lines := strings.Split(p.Example, "\n")
	for len(lines) > 0 && strings.HasPrefix(lines[0], "#") {
		lines = lines[1:] // the head speaks of the file itself
	}
	r.macro("SH", "TOP LEVEL")
	for _, line := range lines {
		page.take(line)
	}
	page.item()
	r.macro("SH", "FILES")
	r.line(strong(p.Config))
	r.macro("SH", "SEE ALSO")
	r.line(strong(p.Name) + "(8)")
	if r.err != nil {
		return fmt.Errorf("manual of %s: %w", filepath.Base(p.Config), r.err)
	}
	return nil
}

// configText collects a description and the keys below it until the next description.
type configText struct {
	roff    *roff
	comment []string
	keys    []string
}

func (t *configText) take(line string) {
	if hidden, ok := strings.CutPrefix(line, "#"); ok && hidden != "" && hidden[0] != ' ' {
		line = hidden
	}
	key, value, assignment := strings.Cut(line, " = ")
	switch {
	case strings.HasPrefix(line, "#"):
		if len(t.keys) > 0 {
			t.item()
		}
		t.comment = append(t.comment, strings.TrimSpace(strings.TrimPrefix(line, "#")))
	case strings.HasPrefix(line, "["):
		comment := t.comment
		t.comment = nil
		t.item()
		t.roff.macro("SH", line)
		t.roff.text(strings.Join(comment, "\n"))
	case assignment:
		t.keys = append(t.keys, strong(key)+" = "+escape(value))
	default:
		t.item()
	}
}

// item writes what was collected, if anything.
func (t *configText) item() {
	if len(t.keys) > 0 {
		t.roff.item(strings.Join(t.comment, "\n"), t.keys...)
		t.comment, t.keys = nil, nil
	}
}
