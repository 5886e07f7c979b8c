package sensor

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"flowsensor/internal/bench/trace"
)

// BenchmarkRead is `flow-sensor read --send`: a capture like that of an access network, read from a file, its flows sealed and sent to
// a socket that nobody reads.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "real.pcap")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	const snap = 96
	sum, err := trace.Real{Seed: 1, Flows: 123_000, Packets: 568_000}.Write(f, snap)
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	sink, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	options := ReadOptions{Config: writeReadConfig(b, dir, sink.LocalAddr()), Asked: true, Files: []string{path}}
	for b.Loop() {
		if err := ReadFiles(b.Context(), options); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(uint64(b.N)*sum.Packets), "ns/packet")
}

// writeReadConfig writes a key, and a configuration that sends to an address.
func writeReadConfig(b *testing.B, dir string, to net.Addr) string {
	b.Helper()
	text, err := GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	config, key := filepath.Join(dir, "sensor.toml"), filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	body := fmt.Sprintf("id = \"bench\"\nstate_dir = %q\n[[interface]]\nname = \"eth0\"\n[flows]\nactive_timeout = \"300s\"\n"+
		"inactive_timeout = \"120s\"\n[export]\ncollector = [%q]\nkey_file = %q\ndelivery = \"fire-and-forget\"\n", dir, to, key)
	if err := os.WriteFile(config, []byte(body), 0o600); err != nil {
		b.Fatal(err)
	}
	return config
}
