package cli

import (
	"fmt"
	"io"
	"regexp"
	"strings"
)

// roff writes a manual page in the man(7) macros. The first error stays and ends the writing.
type roff struct {
	out io.Writer
	err error
}

// macro writes a request with its arguments quoted as they must be.
func (r *roff) macro(name string, args ...string) {
	var line strings.Builder
	line.WriteString("." + name)
	for _, arg := range args {
		line.WriteString(` "` + strings.ReplaceAll(escape(arg), `"`, `\(dq`) + `"`)
	}
	r.line(line.String())
}

// text writes paragraphs. Indented lines stay as they are; what stands in backquotes becomes bold.
func (r *roff) text(text string) {
	verbatim, blank := false, false
	set := func(want bool) {
		switch {
		case want && !verbatim:
			r.line(".PP\n.nf\n.RS 4")
		case !want && verbatim:
			r.line(".RE\n.fi\n.PP")
		}
		verbatim = want
	}
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		line = strings.TrimRight(line, "\n")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" {
			blank = true
			continue
		}
		set(line != trimmed)
		if blank && !verbatim {
			r.line(".PP")
		}
		blank = false
		r.line(guard(bold(escape(trimmed))))
	}
	set(false)
}

// item writes one entry of a list: its tags, and the text they share.
func (r *roff) item(text string, tags ...string) {
	for i, tag := range tags {
		request := ".TP"
		if i > 0 {
			request = ".TQ" // another tag of the same paragraph
		}
		r.line(request + "\n" + guard(tag))
	}
	r.text(text)
}

func (r *roff) line(line string) {
	if r.err == nil {
		_, r.err = fmt.Fprintln(r.out, line)
	}
}

// escape makes text literal: a plain hyphen would be typeset as one that cannot be copied into a shell.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "~", `\(ti`, "^", `\(ha`).Replace(text)
}

// guard keeps a line from being taken for a request.
func guard(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

var backquoted = regexp.MustCompile("`([^`]*)`")

func bold(text string) string { return backquoted.ReplaceAllString(text, `\fB$1\fR`) }

func strong(text string) string { return `\fB` + escape(text) + `\fR` }
