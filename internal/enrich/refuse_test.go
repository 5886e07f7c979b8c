package enrich_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/oschwald/maxminddb-golang/v2"

	"flowsensor/internal/enrich"
	"flowsensor/internal/setting"
)

func refusal(t *testing.T, c enrich.Config) string {
	t.Helper()
	c.Interval = enrich.DefaultInterval
	_, err := enrich.Open(c)
	if err == nil {
		return ""
	}
	if _, ok := errors.AsType[setting.KeyError](err); !ok || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v is no KeyError of one line", err)
	}
	return err.Error()
}

func TestPrefixTableRefusals(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", ":1: no prefix in it"},
		"only comments": {"# nothing\n", ":1: no prefix in it"},
		"only a header": {"prefix,as,name\n", ":1: no prefix in it"},
		"cut":           {"192.0.2.0/24,64500,Example\n198.51.100.0/24,64501,Exa", ":2: the last line does not end: the file is cut"},
		"no AS":         {"# c\n192.0.2.0/24\n", ":2: 1 fields: want prefix, AS number and name"},
		"four fields":   {"192.0.2.0/24,1,Example, Inc.\n", ":1: 4 fields"},
		"no prefix":     {"192.0.2.0/24,1\n\nexample.com,2,x\n", `:3: "example.com" is no prefix: write it as "192.0.2.0/24"`},
		"an address":    {"192.0.2.1,1\n", `:1: "192.0.2.1" is no prefix`},
		"length":        {"192.0.2.0/33,1\n", `:1: "192.0.2.0/33" is no prefix`},
		"host bits":     {"192.0.2.1/24,1\n", `:1: "192.0.2.1/24" has bits behind its length: write "192.0.2.0/24"`},
		"mapped":        {"::ffff:192.0.2.0/120,1\n", "IPv4 prefix in IPv6's clothes"},
		"zone":          {"fe80::%eth0/64,1\n", "is no prefix"},
		"AS 0":          {"192.0.2.0/24,0\n", `:1: "0" is no AS number: want 1 to 4294967294`},
		"last AS":       {"192.0.2.0/24,4294967295\n", "is no AS number"},
		"huge AS":       {"192.0.2.0/24,99999999999999999999\n", "is no AS number"},
		"dotted AS":     {"192.0.2.0/24,1.10\n", "is no AS number"},
		"AS alone":      {"192.0.2.0/24,AS\n", "is no AS number"},
		"twice":         {"192.0.2.0/24,1\n2001:db8::/32,2\n192.0.2.0/24,3\n", ":3: the prefix stands twice"},
		"twice, 6":      {"2001:db8::/32,2\n2001:db8::/32,2\n", ":2: the prefix stands twice"},
		"twice, deep":   {"2001:db8::/127,2\n2001:db8::/127,2\n", ":2: the prefix stands twice"},
		"quote":         {"192.0.2.0/24,1,\"open\n", ":1: extraneous or missing"},
		"binary":        {"\x00\x01\x02\n", "1 fields"},
	} {
		path := file(t, "prefixes.csv", []byte(c.text))
		if got := refusal(t, enrich.Config{Prefixes: path}); !strings.HasPrefix(got, "prefix_table: "+path+":") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestDatabaseRefusals(t *testing.T) {
	good := database(t, mmdbwriter.Options{}, network{"192.0.2.0/24", 64500, "Example"}, network{"2001:db8::/32", 64501, "Sechs"})
	damaged := bytes.Clone(good)
	at := bytes.Index(damaged, []byte("autonomous_system_number"))
	damaged[at-1] = 0xff // the key's control byte: its length now reaches past the end
	loop := bytes.Clone(good)
	clear(loop[:len(loop)/4]) // nodes of the tree whose ways both lead back to the first
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":            {nil, "not a whole MaxMind DB file"},
		"text":             {[]byte(prefixes), "not a whole MaxMind DB file"},
		"cut at the end":   {good[:len(good)-300], "not a whole MaxMind DB file"},
		"metadata cut":     {good[:len(good)-1], "not a whole MaxMind DB file"},
		"start is missing": {good[len(good)/2:], "not a whole MaxMind DB file"},
		"damaged data":     {damaged, ""},
		"loop":             {loop, ""},
		"no AS":            {database(t, mmdbwriter.Options{}, network{"192.0.2.0/24", 0, "x"}), "no autonomous system in it: want an ASN database"},
		"no network":       {database(t, mmdbwriter.Options{}), "no prefix in it"},
	} {
		path := file(t, "asn.mmdb", c.content)
		if got := refusal(t, enrich.Config{Database: path}); !strings.HasPrefix(got, "asn_database: "+path+": ") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// A tree of a few octets can have more ends than there is time: every node leads to the next one twice.
func TestDatabaseWithSharedNodes(t *testing.T) {
	content := database(t, mmdbwriter.Options{IPVersion: 4, RecordSize: 32}, network{"192.0.2.1/32", 1, "x"}, network{"10.0.0.1/32", 2, "y"})
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		t.Fatal(err)
	}
	nodes := uint32(reader.Metadata.NodeCount)
	for i := range nodes {
		next := i + 1
		if next > 30 {
			next = nodes // no deeper than an address is long: the end of a network without data
		}
		binary.BigEndian.PutUint32(content[8*i:], next)
		binary.BigEndian.PutUint32(content[8*i+4:], next)
	}
	if got := refusal(t, enrich.Config{Database: file(t, "asn.mmdb", content)}); !strings.Contains(got, "more ends than its") {
		t.Errorf("%d nodes: got %q", nodes, got)
	}
}

func TestFileRefusals(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(dir, "huge")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, enrich.MaxFile+1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		dir:                        "not a regular file",
		fifo:                       "not a regular file",
		huge:                       "octets are more than any table has",
	} {
		for _, c := range []enrich.Config{{Database: path}, {Prefixes: path}} {
			if got := refusal(t, c); !strings.Contains(got, path) || !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	if _, err := enrich.Open(enrich.Config{}); err == nil {
		t.Error("no interval is no error")
	}
}
