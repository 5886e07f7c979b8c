package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"flowsensor/internal/setting"
)

// maxFileSize bounds what is read: a configuration is written by hand or by a tool, never this large.
const maxFileSize = 8 << 20

// Document is one parsed configuration file. It remembers the text, so that later refusals can name the line.
type Document struct {
	name  string
	lines []string
	meta  toml.MetaData
	errs  []error
}

// Load reads the file and parses it into v; see Parse.
func Load(path string, v any) (*Document, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: the command init writes a commented one", err)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if info.Size() > maxFileSize {
		return nil, fmt.Errorf("%s: %d bytes is larger than any configuration (limit %d)", path, info.Size(), maxFileSize)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(path, string(text), v)
}

// Parse decodes text into v, a pointer to a struct that already holds the defaults. name stands for the file in errors.
// On error v may be half overwritten.
func Parse(name, text string, v any) (*Document, error) {
	d := &Document{name: name, lines: strings.SplitAfter(text, "\n")}
	meta, err := toml.Decode(text, v)
	if err != nil {
		return nil, d.decodeError(err)
	}
	d.meta = meta
	d.refuseCase()
	d.refuseUnknown(reflect.TypeOf(v))
	if err := d.Err(); err != nil {
		return nil, err
	}
	return d, nil
}

// typeMismatch is how the library words a value of a wrong type, without an error type of its own.
var typeMismatch = regexp.MustCompile(`^line (\d+) \(last key "([^"]*)"\): (.*)$`)

// mismatchTypes and mismatchTable are how it goes on: both name types of Go.
var (
	mismatchTypes = regexp.MustCompile(`^incompatible types: TOML value has type (\S+); destination has type (\S+)$`)
	mismatchTable = regexp.MustCompile(`^type mismatch for .*: expected table but found `)
)

// plainTypes are the library's words for types in those of TOML.
var plainTypes = map[string]string{
	"slice": `a list, such as ["a", "b"]`, "[]any": "a list", "string": "text in quotes", "integer": "a whole number", "int64": "a whole number",
	"float": "a number", "float64": "a number with a point", "boolean": "true or false", "map": "a table", "map[string]any": "a table",
}

// plainMismatch says in the words of the file what the library says in those of the program.
func plainMismatch(key, text string) string {
	if mismatchTable.MatchString(text) {
		return "want a table"
	}
	found := mismatchTypes.FindStringSubmatch(text)
	if found == nil {
		return text
	}
	if found[1] == "map[string]any" && found[2] == "slice" {
		return "there may be several of it: write [[" + key + "]]"
	}
	got, want := plainTypes[found[1]], plainTypes[found[2]]
	if got == "" || want == "" {
		return text
	}
	return "want " + want + ", not " + got
}

// hints are for what is mostly meant where the library does not understand.
var hints = []struct{ words, hint string }{
	{"expected value but found", "text stands in quotes, and so do durations and sizes"},
	{"expected a top-level item to end with a newline", "text stands in quotes, and so do durations and sizes"},
	{"strings cannot contain newlines", "the closing quote is missing"},
}

func hinted(message string) string {
	for _, h := range hints {
		if strings.HasPrefix(message, h.words) {
			return message + ": " + h.hint
		}
	}
	return message
}

// openTable is what the library says of a table's name without its brackets' end, when it has read the line's end and counts
// the line below.
var openTable = regexp.MustCompile(`^expected .*table.* name.*, but got '\\n' instead$`)

// decodeError rewrites the library's errors as `file:line: key: what`.
func (d *Document) decodeError(err error) error {
	if parse, ok := errors.AsType[toml.ParseError](err); ok {
		message := parse.Message
		if message == "" { // the library leaves it empty where an unmarshaler refused the value
			message = strings.TrimPrefix(parse.Error(), "toml: ")
		}
		line := parse.Position.Line
		if openTable.MatchString(message) {
			line--
		}
		message = hinted(message)
		if d.mentions(line, parse.LastKey) {
			message = parse.LastKey + ": " + message
		}
		return fmt.Errorf("%s:%d: %s", d.name, line, message)
	}
	message := strings.TrimPrefix(err.Error(), "toml: ")
	if found := typeMismatch.FindStringSubmatch(message); found != nil {
		return fmt.Errorf("%s:%s: %s: %s", d.name, found[1], found[2], plainMismatch(found[2], found[3]))
	}
	return fmt.Errorf("%s: %s", d.name, message)
}

// mentions tells whether the line holds the last part of the key: where a table's name is broken, the library's last key
// is one of the table before.
func (d *Document) mentions(line int, key string) bool {
	last := key[strings.LastIndexByte(key, '.')+1:]
	return last != "" && line >= 1 && line <= len(d.lines) && strings.Contains(d.lines[line-1], last)
}

// refuseCase refuses keys that are not lower case: the library matches without regard to case, so that `Workers` beside
// `workers` would be decided by chance.
func (d *Document) refuseCase() {
	for _, key := range d.meta.Keys() {
		if last := key[len(key)-1]; last != strings.ToLower(last) {
			d.refuse(key, "keys are lower case: write %s", strings.ToLower(last))
		}
	}
}

func (d *Document) refuseUnknown(root reflect.Type) {
	for _, key := range d.meta.Undecoded() {
		known := keysAt(root, key[:len(key)-1])
		if known == nil {
			continue // below a table that is itself unknown and reported
		}
		where := "at the top level"
		if len(key) > 1 {
			where = "in [" + strings.Join(key[:len(key)-1], ".") + "]"
		}
		d.refuse(key, "unknown key; known %s: %s", where, strings.Join(known, ", "))
	}
}

// keysAt lists the keys that the struct type knows below path, nil when the path itself leads nowhere.
func keysAt(t reflect.Type, path []string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	for field := range t.Fields() {
		tag, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
		if len(path) > 0 && tag == path[0] {
			return keysAt(field.Type, path[1:])
		}
		keys = append(keys, tag)
	}
	if len(path) > 0 {
		return nil
	}
	slices.Sort(keys)
	return keys
}

// IsDefined reports whether the file sets the key (dotted path), as opposed to leaving the default.
func (d *Document) IsDefined(path string) bool { return d.meta.IsDefined(strings.Split(path, ".")...) }

// Where gives the place of the key as `file:line`; path is as for Check.
func (d *Document) Where(path string) string { return fmt.Sprintf("%s:%d", d.name, d.Line(path)) }

// Line gives the line that the key is set on; see Where. A key that is not set has that of the table it would stand in.
func (d *Document) Line(path string) int { return d.line(parsePath(path)) }

// Check notes a refusal of the key unless err is nil. path is dotted; an element of an array of tables is named by its
// index: `sensor[2].key_files`. Errors that name keys below path themselves (setting.KeyError), alone or joined, are noted as
// refusals of these keys; with path "" theirs are from the top. The refusals of all calls come back from Err.
func (d *Document) Check(path string, err error) {
	if err == nil {
		return
	}
	for _, part := range setting.Parts(setting.In(path, err)) {
		keyed, ok := errors.AsType[setting.KeyError](part)
		if !ok {
			keyed = setting.KeyError{Err: part}
		}
		d.errs = append(d.errs, fmt.Errorf("%s: %s: %w", d.Where(keyed.Key), keyed.Key, keyed.Err))
	}
}

// Checkf notes a refusal of the key, as Check does.
func (d *Document) Checkf(path, format string, args ...any) {
	d.Check(path, fmt.Errorf(format, args...))
}

func (d *Document) refuse(key toml.Key, format string, args ...any) {
	d.Checkf(key.String(), format, args...)
}

// Err gives all refusals so far, a line each, or nil.
func (d *Document) Err() error { return errors.Join(d.errs...) }

// Keys lists the dotted paths of all keys of a configuration's struct type, those inside arrays of tables by the array's
// name alone, sorted.
func Keys(t reflect.Type) []string {
	var keys []string
	for field := range t.Fields() {
		tag, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
		keys = append(keys, tag)
		if field.Type.Kind() == reflect.Struct {
			for _, key := range Keys(field.Type) {
				keys = append(keys, tag+"."+key)
			}
		}
	}
	slices.Sort(keys)
	return keys
}
