package enroll

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// Sensor is one [[sensor]] table of a collector's configuration.
type Sensor struct {
	ID       string   `toml:"id"`
	KeyFiles []string `toml:"key_files"`
	Prefixes []string `toml:"prefixes"`
}

// Block gives the table as TOML.
func (s Sensor) Block() (string, error) {
	if s.Prefixes == nil {
		s.Prefixes = []string{}
	}
	return encode(struct {
		Sensors []Sensor `toml:"sensor"`
	}{[]Sensor{s}})
}

func encode(v any) (string, error) {
	var text bytes.Buffer
	e := toml.NewEncoder(&text)
	e.Indent = ""
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("encode TOML: %w", err)
	}
	return text.String(), nil
}

// Table says where a [[sensor]] stands: the file, its place among the tables of that file, and the line of its key_files.
type Table struct {
	Path  string
	Index int
	Line  int
}

func (t Table) String() string { return fmt.Sprintf("%s:%d", t.Path, t.Line) }

// oneLine is the only form of key_files that is changed by program. A hand may have written it over several lines.
var oneLine = regexp.MustCompile(`^\s*key_files\s*=\s*\[[^#]*\]\s*$`)

// setKeyFiles replaces the key files of a table and nothing else of its file, comments included.
func setKeyFiles(t Table, files []string) error {
	text, err := os.ReadFile(t.Path)
	if err != nil {
		return err
	}
	lines := strings.SplitAfter(string(text), "\n")
	if t.Line < 1 || t.Line > len(lines) || !oneLine.MatchString(lines[t.Line-1]) {
		return t.byHand(files)
	}
	if lines[t.Line-1], err = encode(struct {
		KeyFiles []string `toml:"key_files"`
	}{files}); err != nil {
		return err
	}
	changed := strings.Join(lines, "")
	if !onlyKeyFiles(string(text), changed, t.Index, files) {
		return t.byHand(files)
	}
	return replace(t.Path, changed)
}

func (t Table) byHand(files []string) error {
	return fmt.Errorf("%w: %s: write key_files = %q there yourself", ErrByHand, t, files)
}

// onlyKeyFiles reads both texts and reports whether the table's key files are now these and nothing else has changed.
func onlyKeyFiles(before, after string, index int, files []string) bool {
	was, tables := parse(before)
	is, _ := parse(after)
	if is == nil || index >= len(tables) {
		return false
	}
	named := make([]any, len(files))
	for i, file := range files {
		named[i] = file
	}
	tables[index]["key_files"] = named
	return reflect.DeepEqual(was, is)
}

// parse gives the whole tree and its [[sensor]] tables, nil where the text is no TOML.
func parse(text string) (tree map[string]any, tables []map[string]any) {
	if _, err := toml.Decode(text, &tree); err != nil {
		return nil, nil
	}
	tables, _ = tree["sensor"].([]map[string]any)
	return tree, tables
}
