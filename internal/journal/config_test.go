package journal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/journal"
)

func TestConfig(t *testing.T) {
	good := journal.DefaultConfig()
	good.Dir = "/somewhere"
	if err := good.Validate(); err != nil {
		t.Fatalf("the default: %v", err)
	}
	for name, row := range map[string]struct {
		change func(*journal.Config)
		want   string
	}{
		"no directory":     {func(c *journal.Config) { c.Dir = "" }, "directory"},
		"tiny":             {func(c *journal.Config) { c.MaxSize = 1000 }, "max_size"},
		"nothing free":     {func(c *journal.Config) { c.MinFree = 0 }, "min_free"},
		"no replicas":      {func(c *journal.Config) { c.Replicas = 0 }, "replicas"},
		"no shards":        {func(c *journal.Config) { c.Shards = 0 }, "shards"},
		"large group":      {func(c *journal.Config) { c.GroupBytes = 1 << 20 }, "group_size"},
		"slow group":       {func(c *journal.Config) { c.GroupAge = time.Hour }, "group_age"},
		"short queue":      {func(c *journal.Config) { c.Queue = 1000 }, "queue"},
		"shards and queue": {func(c *journal.Config) { c.Shards = 64 }, "queue"},
		"nothing in flight": {
			func(c *journal.Config) { c.InFlight = 0 }, "in flight",
		},
		"short lease":         {func(c *journal.Config) { c.LeaseTTL = 1 }, "lease"},
		"impatient":           {func(c *journal.Config) { c.AckWait = 1 }, "acknowledgement"},
		"secret":              {func(c *journal.Config) { c.URL = "nats://me:secret@host:4222" }, "credentials_file"},
		"no scheme":           {func(c *journal.Config) { c.URL = "host:4222" }, "url"},
		"half certificate":    {func(c *journal.Config) { c.URL = "tls://host:4222"; c.TLS.CertFile = "x" }, "go together"},
		"credentials for us":  {func(c *journal.Config) { c.CredentialsFile = "x" }, "external"},
		"certificates for us": {func(c *journal.Config) { c.TLS.CAFile = "x" }, "external"},
	} {
		c := good
		row.change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want something about %q", name, err, row.want)
		}
	}
}

// Credentials that everybody can read are refused, with the remedy.
func TestCredentialsFile(t *testing.T) {
	c := config(t)
	c.URL, c.CredentialsFile = "nats://127.0.0.1:1", filepath.Join(t.TempDir(), "creds")
	if _, err := journal.Open(c, logger(t)); err == nil {
		t.Error("a missing file is accepted")
	}
	if err := os.WriteFile(c.CredentialsFile, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(c, logger(t)); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("a file that everybody can read: %v", err)
	}
}

// A journal belongs to one process.
func TestDirectoryInUse(t *testing.T) {
	c := config(t)
	j := open(t, c)
	if _, err := journal.Open(c, logger(t)); err == nil || !strings.Contains(err.Error(), "in use by another running collector") {
		t.Errorf("opened twice: %v", err)
	}
	closeJournal(t, j)
	closeJournal(t, open(t, c))
}

// A cluster that is away is waited for: Open does not fail, batches wait up to the bound, and an end gives them back.
func TestClusterAway(t *testing.T) {
	c := config(t)
	c.URL, c.Queue = "nats://127.0.0.1:1", c.GroupBytes+256<<10
	j := open(t, c)
	defer closeJournal(t, j)
	a, d := appendTo(t, j), newDatabase(t)
	r := readInto(t, j, d)
	taken := 0
	for a.Append(batchOf("edge-1", uint64(taken), 30)) == nil {
		taken++
	}
	if st := a.Stats(); j.Stats().Up || st.Pending > c.Queue || st.Pending < c.Queue/2 {
		t.Errorf("%+v, %+v", j.Stats(), st)
	}
	a.stop()
	a.run.Wait()
	r.kill()
	if a.unknown != taken || a.acknowledged() != 0 || a.Stats().Pending != 0 {
		t.Errorf("%d batches given back of %d, %d as durable", a.unknown, taken, a.acknowledged())
	}
	if err := a.Append(batchOf("edge-1", 0, 1)); err != journal.ErrClosed { //nolint:errorlint // it is promised as it is
		t.Errorf("append after the end: %v", err)
	}
}
