package testnet

import (
	"errors"
	"fmt"
	"testing"
)

// Link is one cable between two hosts: what the generator sends is what the capture side receives.
type Link struct {
	Generator, Capture *Host

	cfg Config
}

// NewLink is OpenLink for a test: it calls RequireRoot, fails the test on an error and closes the link when the test ends.
func NewLink(tb testing.TB, cfg Config) *Link {
	tb.Helper()
	RequireRoot(tb)
	l, err := OpenLink(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}

// OpenLink makes the link. Both ends have addresses and the interface name eth0.
func OpenLink(cfg Config) (*Link, error) {
	l := &Link{cfg: cfg}
	if err := l.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("test link: %w", err), l.Close())
	}
	return l, nil
}

func (l *Link) open() (err error) {
	if l.Generator, err = newHost("gen", l.cfg.Noise); err != nil {
		return err
	}
	if l.Capture, err = newHost("cap", l.cfg.Noise); err != nil {
		return err
	}
	introduce(l.Generator, l.Capture)
	return l.Create()
}

// Delete removes both interfaces.
func (l *Link) Delete() error { return l.Capture.deleteDevice(l.Capture.Interface) }

// Create makes both interfaces again after Delete, under the same names and with new indexes.
func (l *Link) Create() error {
	if err := cable(l.Generator, l.Generator.Interface, l.Capture, l.cfg); err != nil {
		return err
	}
	return errors.Join(l.Generator.Up(), l.Capture.Up())
}

// Close ends every program left inside and removes the namespaces.
func (l *Link) Close() error { return errors.Join(l.Generator.close(), l.Capture.close()) }
