package cli

import (
	"regexp"
	"strings"
)

// listItem begins an entry of a list: a hyphen or a number, and the text.
var listItem = regexp.MustCompile(`^(-|[0-9]+\.) +(.*)$`)

// markdown writes the little of Markdown that the operation manuals use: headings, paragraphs, lists of one level and
// indented code. The title is left out: a manual page has its own.
func (r *roff) markdown(text string) {
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		block = strings.Trim(block, "\n")
		switch {
		case block == "" || strings.HasPrefix(block, "# "):
		case strings.HasPrefix(block, "## "):
			r.macro("SH", strings.ToUpper(strings.TrimPrefix(block, "## ")))
		case strings.HasPrefix(block, "    "):
			r.text(block)
		case listItem.MatchString(firstLine(block)):
			r.list(block)
		default:
			r.line(".PP")
			r.text(unindented(block))
		}
	}
}

// list writes the items of a block; an item goes on in indented lines.
func (r *roff) list(block string) {
	for line := range strings.SplitSeq(block, "\n") {
		if item := listItem.FindStringSubmatch(line); item != nil {
			mark := item[1]
			if mark == "-" {
				mark = `\(bu`
			}
			r.line(".IP " + mark + " 4")
			line = item[2]
		}
		r.text(unindented(line))
	}
}

func firstLine(block string) string {
	line, _, _ := strings.Cut(block, "\n")
	return line
}

func unindented(block string) string {
	lines := strings.Split(block, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}
