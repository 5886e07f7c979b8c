package config

import (
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// step is one part of a key's path: a name and, in an array of tables, the element's index, -1 otherwise and for any element.
type step struct {
	name  string
	index int
}

func parsePath(path string) []step {
	var steps []step
	for part := range strings.SplitSeq(path, ".") {
		name, rest, indexed := strings.Cut(part, "[")
		s := step{name: name, index: -1}
		if indexed {
			if n, err := strconv.Atoi(strings.TrimSuffix(rest, "]")); err == nil {
				s.index = n
			}
		}
		steps = append(steps, s)
	}
	return steps
}

// line finds the line a key is set on. The library keeps no positions of what it decoded, so the line is the first one
// up to which the file, cut there, defines the key: the real parser decides, at the price of parsing the file some
// log2(lines) times, and only when there is an error to report. A key that the file does not set has the line of the
// nearest table above it, line 1 at last.
func (d *Document) line(path []step) int {
	for len(path) > 0 {
		if !defined(d.prefix(len(d.lines)), path) {
			if last := &path[len(path)-1]; last.index >= 0 {
				last.index = -1
				continue
			}
			path = path[:len(path)-1]
			continue
		}
		return sort.Search(len(d.lines), func(n int) bool { return defined(d.prefix(n), path) })
	}
	return 1
}

// prefix parses the first n lines, or as many more as it takes to end a value of several lines.
func (d *Document) prefix(n int) map[string]any {
	for ; n <= len(d.lines); n++ {
		var tree map[string]any
		if _, err := toml.Decode(strings.Join(d.lines[:n], ""), &tree); err == nil {
			return tree
		}
	}
	return nil
}

func defined(tree map[string]any, path []step) bool {
	value, ok := tree[path[0].name]
	if !ok {
		return false
	}
	switch v := value.(type) {
	case []map[string]any:
		index := path[0].index
		if index < 0 {
			return len(path) == 1 || slices.ContainsFunc(v, func(element map[string]any) bool { return defined(element, path[1:]) })
		}
		return index < len(v) && (len(path) == 1 || defined(v[index], path[1:]))
	case map[string]any:
		return len(path) == 1 || defined(v, path[1:])
	default:
		return len(path) == 1
	}
}
