package collector

import (
	"log/slog"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
)

// The error of a socket that package net cannot open, as a kernel booted with ipv6.disable=1 gives it.
var errNoIPv6 = &net.OpError{Op: "listen", Net: "udp6", Err: os.NewSyscallError("socket", syscall.EAFNOSUPPORT)}

func TestListenWithoutIPv6(t *testing.T) {
	both := Defaults().Ingest.Listen
	for name, c := range map[string]struct {
		listen []string
		ipv6   error
		want   []string
	}{
		"the default with IPv6":          {both, nil, both},
		"the default without":            {both, errNoIPv6, []string{"0.0.0.0:9999"}},
		"no descriptors is no such sign": {both, syscall.EMFILE, both},
		"what was asked for stays":       {[]string{"[::]:9999"}, errNoIPv6, []string{"[::]:9999"}},
	} {
		in := IngestConfig{Listen: c.listen}
		got, err := in.sockets(slog.New(slog.DiscardHandler), func() error { return c.ipv6 })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var texts []string
		for _, a := range got {
			texts = append(texts, a.String())
		}
		if !slices.Equal(texts, c.want) {
			t.Errorf("%s: %v, want %v", name, texts, c.want)
		}
	}
	if err := tryIPv6(); err != nil {
		t.Logf("this machine has no IPv6: %v", err)
	}
}

// A bare name is a credential's where systemd hands them out, and else a path like any other.
func TestCredential(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if got := credential("token"); got != "token" {
		t.Error(got)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/flow-collector.service")
	for path, want := range map[string]string{
		"": "", "token": "/run/credentials/flow-collector.service/token", "/etc/token": "/etc/token", "./token": "./token",
	} {
		if got := credential(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	c := InfluxConfig{TokenFile: "token", PasswordFile: "password"}
	if got := c.influx(); got.TokenFile != "/run/credentials/flow-collector.service/token" || got.PasswordFile != "/run/credentials/flow-collector.service/password" {
		t.Errorf("got %+v", got)
	}
}
