package config

import "strings"

// Section is one table of a commented example, as Describe reads it. The first is the top level, whose Name is empty.
type Section struct {
	Name  string // as in the file: "[capture]", "[[sensor]]"
	Text  string
	Items []Item
}

// Item is a description with the keys that share it.
type Item struct {
	Text     string
	Settings []Setting
}

// Setting is a key and what stands behind the equals sign.
type Setting struct{ Key, Value string }

// Describe reads a commented example that shows every key with its default: what stands above a key or a table is its
// description, and keys without one of their own share the one above them. The comment at the head of the file speaks of
// the file itself and is left out. A # without a space behind it hides a setting that is not there by default.
func Describe(example string) []Section {
	lines := strings.Split(example, "\n")
	for len(lines) > 0 && strings.HasPrefix(lines[0], "#") {
		lines = lines[1:]
	}
	d := &describer{sections: make([]Section, 1)}
	for _, line := range lines {
		d.take(line)
	}
	d.item()
	return d.sections
}

// describer collects a description and the keys below it until the next description.
type describer struct {
	sections []Section
	comment  []string
	settings []Setting
}

func (d *describer) take(line string) {
	if hidden, ok := strings.CutPrefix(line, "#"); ok && hidden != "" && hidden[0] != ' ' {
		line = hidden
	}
	key, value, assignment := strings.Cut(line, " = ")
	switch {
	case strings.HasPrefix(line, "#"):
		if len(d.settings) > 0 {
			d.item()
		}
		d.comment = append(d.comment, strings.TrimSpace(strings.TrimPrefix(line, "#")))
	case strings.HasPrefix(line, "["):
		comment := d.comment
		d.comment = nil
		d.item()
		d.sections = append(d.sections, Section{Name: line, Text: strings.Join(comment, "\n")})
	case assignment:
		d.settings = append(d.settings, Setting{key, value})
	default:
		d.item()
	}
}

// item notes what was collected, if anything.
func (d *describer) item() {
	if len(d.settings) == 0 {
		return
	}
	s := &d.sections[len(d.sections)-1]
	s.Items = append(s.Items, Item{Text: strings.Join(d.comment, "\n"), Settings: d.settings})
	d.comment, d.settings = nil, nil
}
