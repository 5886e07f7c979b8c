package enrich_test

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"flowsensor/internal/enrich"
	"flowsensor/internal/flow"
)

// network is a line of a database for tests.
type network struct {
	prefix string
	as     uint32
	name   string
}

// database makes a file in MaxMind's format by MaxMind's own writer.
func database(tb testing.TB, options mmdbwriter.Options, networks ...network) []byte {
	tb.Helper()
	if options.DatabaseType == "" {
		options.DatabaseType = "GeoLite2-ASN"
	}
	options.IncludeReservedNetworks = true
	tree, err := mmdbwriter.New(options)
	if err != nil {
		tb.Fatal(err)
	}
	for _, n := range networks {
		data := mmdbtype.Map{"autonomous_system_organization": mmdbtype.String(n.name)}
		if n.as != 0 {
			data["autonomous_system_number"] = mmdbtype.Uint32(n.as)
		}
		_, prefix, err := net.ParseCIDR(n.prefix)
		if err == nil {
			err = tree.Insert(prefix, data)
		}
		if err != nil {
			tb.Fatalf("%s: %v", n.prefix, err)
		}
	}
	var file bytes.Buffer
	if _, err := tree.WriteTo(&file); err != nil {
		tb.Fatal(err)
	}
	return file.Bytes()
}

// write puts content where nothing was, or in the place of what was, by rename.
func write(tb testing.TB, path string, content []byte) {
	tb.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		tb.Fatal(err)
	}
}

// file gives the path of a new file.
func file(tb testing.TB, name string, content []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	write(tb, path, content)
	return path
}

func open(tb testing.TB, c enrich.Config) *enrich.Origins {
	tb.Helper()
	if c.Interval == 0 {
		c.Interval = enrich.DefaultInterval
	}
	o, err := enrich.Open(c)
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

func lookup(o *enrich.Origins, address string) enrich.Origin {
	a, version := flow.AddrFrom(netip.MustParseAddr(address))
	return o.Lookup(a, version)
}
