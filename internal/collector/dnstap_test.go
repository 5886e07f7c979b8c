package collector_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	framestream "github.com/farsightsec/golang-framestream"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/protobuf/encoding/protowire"

	"flowsensor/internal/collector"
	"flowsensor/internal/daemon"
)

// tapped is the dnstap message of a response that says there is no such name.
func tapped(t *testing.T, question string) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{Response: true, RCode: dnsmessage.RCodeNameError},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(question), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	response, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 6) // CLIENT_RESPONSE
	b = protowire.AppendBytes(protowire.AppendTag(b, 4, protowire.BytesType), []byte{192, 0, 2, 1})
	b = protowire.AppendBytes(protowire.AppendTag(b, 5, protowire.BytesType), []byte{192, 0, 2, 53})
	b = protowire.AppendVarint(protowire.AppendTag(b, 12, protowire.VarintType), 1_700_000_000)
	b = protowire.AppendBytes(protowire.AppendTag(b, 14, protowire.BytesType), response)
	d := protowire.AppendBytes(protowire.AppendTag(nil, 14, protowire.BytesType), b)
	return protowire.AppendVarint(protowire.AppendTag(d, 15, protowire.VarintType), 1)
}

// What a DNS server tells goes the way of everything else: through the journal, into the database.
func TestDnstapReachesTheStore(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "dnstap.sock")
	path, c := configured(t, fmt.Sprintf("[dnstap]\nlisten = %q\nmax_failures = 3\n", "unix:"+socket))
	s := collector.NewService(path, c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	e, err := framestream.NewEncoder(conn, &framestream.EncoderOptions{ContentType: []byte("protobuf:dnstap.Dnstap"), Bidirectional: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if _, err := e.Write(tapped(t, fmt.Sprintf("gone-%d.example.", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil { // all is read then
		t.Fatal(err)
	}
	_ = conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	var lines strings.Builder
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "lines", "*"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(text)
	}
	for i := range 5 {
		want := fmt.Sprintf(`client="192.0.2.1",server="192.0.2.53",question="gone-%d.example",qtype="A",count=1i,first=1700000000000000i`, i)
		if got := strings.Contains(lines.String(), want); got != (i < 3) {
			t.Errorf("%s: there %v", want, got)
		}
	}
	if n := strings.Count(lines.String(), "dns,rcode=nxdomain,sensor=+"); n != 3 {
		t.Errorf("%d lines in\n%s", n, lines.String())
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is left")
	}
}
