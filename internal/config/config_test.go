package config_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/config"
	"flowsensor/internal/setting"
)

type sample struct {
	ID    string `toml:"id"`
	Table struct {
		Timeout config.Duration `toml:"timeout"`
		Ring    config.Size     `toml:"ring"`
		Count   int             `toml:"count"`
		Names   []string        `toml:"names"`
	} `toml:"table"`
	Sensor []struct {
		ID   string   `toml:"id"`
		Keys []string `toml:"keys"`
	} `toml:"sensor"`
}

func TestParseKeepsDefaultsAndReadsUnits(t *testing.T) {
	var c sample
	c.Table.Count = 7
	doc, err := config.Parse("a.toml", "id = \"x\"\n[table]\ntimeout = \"1m30s\"\nring = \"64MiB\"\n", &c)
	if err != nil {
		t.Fatal(err)
	}
	if c.Table.Timeout.D() != 90*time.Second || c.Table.Ring.Int() != 64<<20 || c.Table.Count != 7 {
		t.Errorf("got %+v", c.Table)
	}
	if !doc.IsDefined("table.ring") || doc.IsDefined("table.count") {
		t.Error("IsDefined does not tell what the file sets from what it leaves")
	}
}

func TestParseRefusals(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"syntax":              {"id = \"x\"\n[table]\ncount = =\n", "a.toml:3: "},
		"unknown key":         {"id = \"x\"\n[table]\n# note\ntimout = \"1s\"\n", "a.toml:4: table.timout: unknown key; known in [table]: count, names, ring, timeout"},
		"unknown top":         {"\nidd = \"x\"\n", "a.toml:2: idd: unknown key; known at the top level: id, sensor, table"},
		"unknown table":       {"[tabel]\ncount = 1\n", "a.toml:1: tabel: unknown key"},
		"second element":      {"[[sensor]]\nid = \"a\"\n[[sensor]]\nid = \"b\"\nkey = 1\n", "a.toml:5: sensor.key: unknown key; known in [sensor]: id, keys"},
		"case":                {"[table]\nCount = 1\n", "a.toml:2: table.Count: keys are lower case: write count"},
		"case twin":           {"[table]\ncount = 1\nCOUNT = 2\n", "a.toml:3: table.COUNT: keys are lower case"},
		"duplicate":           {"id = \"a\"\nid = \"b\"\n", "a.toml:2: id: "},
		"duration unit":       {"[table]\ntimeout = 60\n", `a.toml:2: table.timeout: "60" is not a duration: write a number with a unit`},
		"duration negative":   {"[table]\ntimeout = \"-1s\"\n", `a.toml:2: table.timeout: "-1s" is negative`},
		"size unit":           {"[table]\nring = \"64MB\"\n", `a.toml:2: table.ring: "64MB" is not a size`},
		"size bare":           {"[table]\nring = 64\n", `a.toml:2: table.ring: "64" is not a size`},
		"size negative":       {"[table]\nring = \"-1MiB\"\n", `a.toml:2: table.ring: "-1MiB" is negative`},
		"size out of range":   {"[table]\nring = \"9999999999GiB\"\n", `a.toml:2: table.ring: "9999999999GiB" is out of range`},
		"wrong type":          {"[table]\ncount = \"many\"\n", "count"},
		"wrong type has line": {"id = \"a\"\n\n[table]\ncount = \"many\"\n", "a.toml:4: table.count: want a whole number, not text in quotes"},
		"no list":             {"[table]\nnames = \"a\"\n", `a.toml:2: table.names: want a list, such as ["a", "b"], not text in quotes`},
		"no table":            {"table = 1\n", "a.toml:1: table: want a table"},
		"one of several":      {"[sensor]\nid = \"a\"\n", "a.toml:1: sensor: there may be several of it: write [[sensor]]"},
		"with a point":        {"[table]\ncount = 1.5\n", "a.toml:2: table.count: want a whole number, not a number with a point"},
		"table's name":        {"id = \"a\"\n[table\ncount = 1\n", "a.toml:2: expected '.' or ']' to end table name"},
		"array's name":        {"id = \"a\"\n[[sensor]\nid = \"b\"\n", "a.toml:2: expected end of table array name"},
		"no quotes":           {"\nid = edge\n", "a.toml:2: id: expected value but found \"edge\" instead: text stands in quotes"},
		"half the quotes":     {"\nid = \"edge\n", "a.toml:2: id: strings cannot contain newlines: the closing quote is missing"},
		"unit without quotes": {"[table]\nring = 64MiB\n", "a.toml:2: expected a top-level item to end with a newline, comment, or EOF, but got 'M' instead: text stands in quotes, and so do durations and sizes"},
		"list":                {"\nid = [\"a\"]\n", "a.toml:2: id: want text in quotes, not a list"},
	} {
		var got sample
		_, err := config.Parse("a.toml", c.text, &got)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v\nwant %s", name, err, c.want)
		}
	}
}

func TestCheckNamesTheLine(t *testing.T) {
	const text = `id = "x"

[table]
names = [
  "a",
  "b",
]
count = 3

[[sensor]]
id = "one"

[[sensor]]
id = "two"
keys = ["k"]
`
	var c sample
	doc, err := config.Parse("a.toml", text, &c)
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("no good")
	doc.Check("id", nil)
	if err := doc.Err(); err != nil {
		t.Fatalf("a check that holds is reported: %v", err)
	}
	for _, path := range []string{"id", "table.names", "table.count", "table.timeout", "sensor[0].id", "sensor[1].id", "sensor[1].keys", "sensor[0].keys", "nowhere.at.all"} {
		doc.Check(path, cause)
	}
	want := strings.Join([]string{
		"a.toml:1: id: no good", "a.toml:4: table.names: no good", "a.toml:8: table.count: no good",
		"a.toml:3: table.timeout: no good", "a.toml:11: sensor[0].id: no good", "a.toml:14: sensor[1].id: no good",
		"a.toml:15: sensor[1].keys: no good", "a.toml:10: sensor[0].keys: no good", "a.toml:1: nowhere.at.all: no good",
	}, "\n")
	if got := doc.Err(); got.Error() != want || !errors.Is(got, cause) {
		t.Errorf("got\n%v\nwant\n%s", got, want)
	}
}

func TestLineOfLargeFileIsFoundQuickly(t *testing.T) {
	var b strings.Builder
	for range 2000 {
		b.WriteString("[[sensor]]\nid = \"s\"\nkeys = [\n  \"k\",\n]\n")
	}
	var c sample
	doc, err := config.Parse("a.toml", b.String(), &c)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	doc.Checkf("sensor[1999].id", "bad")
	if want := "a.toml:9997: "; !strings.HasPrefix(doc.Err().Error(), want) {
		t.Errorf("got %v, want %s", doc.Err(), want)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("finding a line in 10,000 took %v", took)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	var c sample
	if _, err := config.Load(filepath.Join(dir, "none.toml"), &c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gave %v", err)
	}
	path := filepath.Join(dir, "a.toml")
	if err := os.WriteFile(path, []byte("\ufeffid = \"x\"\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path, &c); err != nil || c.ID != "x" {
		t.Errorf("a file with BOM and CRLF gave %q, %v", c.ID, err)
	}
}

func TestWriteReadsBack(t *testing.T) {
	var c, back sample
	c.ID, c.Table.Timeout, c.Table.Ring = "x", config.Duration(1500*time.Millisecond), 3<<20
	c.Table.Names = []string{"a"}
	var out bytes.Buffer
	if err := config.Write(&out, c); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse("out", out.String(), &back); err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	if back.ID != c.ID || back.Table.Timeout != c.Table.Timeout || back.Table.Ring != c.Table.Ring {
		t.Errorf("got %+v from\n%s", back, out.String())
	}
}

func FuzzParse(f *testing.F) {
	f.Add("id = \"x\"\n[table]\nring = \"1MiB\"\n")
	f.Add("[[sensor]]\nid='''a\nb'''\n[[sensor]]\nkeys=[\n\"k\"]\nX=1")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 {
			return
		}
		var c sample
		doc, err := config.Parse("f", text, &c)
		if (doc == nil) == (err == nil) {
			t.Fatalf("document %v with error %v", doc, err)
		}
		if doc != nil {
			doc.Checkf("sensor[1].keys", "x")
			if doc.Err() == nil {
				t.Fatal("a refusal was lost")
			}
		}
	})
}

func TestConditions(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		good bool
	}{
		"one of":        {config.OneOf("b", "a", "b"), true},
		"none of":       {config.OneOf("c", "a", "b"), false},
		"at the edge":   {config.Between(5, 1, 5), true},
		"past the edge": {config.Between(6, 1, 5), false},
		"duration":      {config.DurationBetween(config.Duration(time.Second), 0, time.Second), true},
		"too short":     {config.DurationBetween(0, time.Second, time.Minute), false},
		"host":          {config.HostPort("collector.example.net:9999"), true},
		"IPv6":          {config.HostPort("[2001:db8::1]:9999"), true},
		"no port":       {config.HostPort("collector.example.net"), false},
		"no host":       {config.HostPort(":9999"), false},
		"port 0":        {config.HostPort("h:0"), false},
		"port 70000":    {config.HostPort("h:70000"), false},
		"named port":    {config.HostPort("h:http"), false},
		"bare IPv6":     {config.HostPort("2001:db8::1:9999"), false},
	} {
		if (c.err == nil) != c.good {
			t.Errorf("%s: %v", name, c.err)
		}
	}
}

func TestDifferencesNamesChangedKeys(t *testing.T) {
	var was, is sample
	if got := config.Differences(was, is); got != nil {
		t.Errorf("equal configurations differ in %v", got)
	}
	is.ID, is.Table.Count = "x", 1
	if got := config.Differences(was, is); !slices.Equal(got, []string{"id", "table"}) {
		t.Errorf("got %v", got)
	}
}

// What only shows in use is refused as what the file shows is; what the error is made of can still be asked for.
func TestLocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.toml")
	if err := os.WriteFile(path, []byte("id = \"x\"\n[[interface]]\nname = \"lo\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	err := config.Locate(path, fmt.Errorf("start: %w", errors.Join(setting.KeyError{Key: "interface[0].name", Err: gone}, errors.New("and more"))))
	if want := path + ":3: interface[0].name: gone\nand more"; err.Error() != want || !errors.Is(err, gone) {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if err := config.Locate(path, gone); err != gone { //nolint:errorlint // that very error
		t.Errorf("without a key: %v", err)
	}
	if err := config.Locate(path+"x", setting.Errorf("id", "long")); err.Error() != "id: long" {
		t.Errorf("without the file: %v", err)
	}
	if err := config.Locate(path, nil); err != nil {
		t.Errorf("nil: %v", err)
	}
}

// Nothing is nothing in each unit.
func TestZeroNeedsNoUnit(t *testing.T) {
	for _, text := range []string{"0", `"0"`, `"0B"`, `"0GiB"`} {
		c := sample{}
		c.Table.Ring = 7
		if _, err := config.Parse("a.toml", "[table]\nring = "+text+"\n", &c); err != nil || c.Table.Ring != 0 {
			t.Errorf("%s: %v, %v", text, c.Table.Ring, err)
		}
	}
}
