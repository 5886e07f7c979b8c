package enrich_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"

	"flowsensor/internal/enrich"
)

// fuzz opens any content: a table that answers for any address, or an error that names the file.
func fuzz(t *testing.T, content []byte, config func(path string) enrich.Config) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	c := config(path)
	c.Interval = enrich.DefaultInterval
	o, err := enrich.Open(c)
	if err != nil {
		return
	}
	for _, r := range records(64) {
		for _, version := range []uint8{4, 6} {
			origin := o.Lookup(r.Src, version)
			if (origin.AS == 0) != (origin.Mask == 0) || origin.Mask > 129 || len(origin.Name) > 128 {
				t.Fatalf("%+v", origin)
			}
		}
	}
}

func FuzzPrefixTable(f *testing.F) {
	f.Add([]byte(prefixes))
	f.Add([]byte("::/0,1,\"a\n b\"\n\n0.0.0.0/0,AS2,x\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		fuzz(t, content, func(path string) enrich.Config { return enrich.Config{Prefixes: path} })
	})
}

func FuzzDatabase(f *testing.F) {
	for _, size := range []int{24, 28, 32} {
		f.Add(database(f, mmdbwriter.Options{RecordSize: size}, network{"192.0.2.0/24", 64500, "Example"}, network{"2001:db8::/32", 1, "x"}))
		f.Add(database(f, mmdbwriter.Options{RecordSize: size, IPVersion: 4}, network{"192.0.2.0/24", 64500, "Example"}))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		fuzz(t, content, func(path string) enrich.Config { return enrich.Config{Database: path} })
	})
}
