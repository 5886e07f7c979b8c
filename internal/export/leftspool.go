package export

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"
)

// spools reports whether batches are kept on disk.
func (c *Config) spools() bool {
	return c.Delivery == Acknowledged && c.Keeping == InStateDir && c.SpoolSize > 0
}

func (c *Config) spoolDir() string { return cmp.Or(c.SpoolDir, c.StateDir) }

// tellOfSpool says where batches lie in a spool of an earlier configuration that this one leaves alone.
func (c *Config) tellOfSpool(log *slog.Logger) {
	if c.spools() || c.Keeping != InStateDir {
		return
	}
	s := &spool{path: filepath.Join(c.spoolDir(), spoolName)}
	if _, err := os.Stat(s.path); err != nil {
		return
	}
	if _, err := s.open(); err != nil {
		log.Warn("a spool of an earlier configuration cannot be read", "path", s.path, "error", err)
		return
	}
	if s.batches > 0 {
		log.Warn("a spool holds batches that are not sent: acknowledged delivery with a spool sends them",
			"path", s.path, "batches", s.batches, "records", s.sum.Records)
	}
	if err := s.close(); err != nil {
		log.Warn("a spool of an earlier configuration is not closed", "path", s.path, "error", err)
	}
}
