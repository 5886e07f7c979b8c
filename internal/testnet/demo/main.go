// Command demo shows the main job without a database or a network card: two namespaces talk, a third gets a mirror of
// their link, a flow-sensor captures there, and a flow-collector writes what it sends. It prints the flows and stops; of
// what it started nothing runs on; its files stay in bin/demo. `make demo` runs it, as root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"flowsensor/internal/testnet"
)

// limit bounds the whole demonstration.
const limit = time.Minute

func main() {
	bin := flag.String("bin", "bin", "folder of flow-sensor and flow-collector")
	store := flag.String("store", "files", "where the flows go: files, or influxdb for a real InfluxDB started for the demonstration")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, *bin, *store); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run is the demonstration from one end to the other.
func run(ctx context.Context, bin, store string) (err error) {
	out := os.Stdout
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run it with sudo")
	}
	dir := filepath.Join(bin, "demo")
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o750)); err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	say(out, "Making two namespaces that talk and a third with a mirror (SPAN) of their link.")
	span, err := testnet.Open(testnet.Config{Noise: testnet.Chatty})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, span.Close()) }()

	s := &stage{span: span, dir: dir, bin: bin}
	defer func() { err = errors.Join(err, s.stop()) }()
	switch store {
	case "influxdb":
		if err := s.startDatabase(ctx); err != nil {
			return err
		}
	case "files":
	default:
		return fmt.Errorf("store %q: want files or influxdb", store)
	}
	if err := s.start(ctx, out); err != nil {
		return err
	}
	say(out, "Traffic: an HTTP transfer and UDP, over IPv4 and IPv6.")
	if err := talk(ctx, span); err != nil {
		return err
	}
	say(out, "Stopping the sensor, which exports what it still holds, then the collector.")
	if err := s.end(ctx); err != nil {
		return err
	}
	return s.show(ctx, out)
}

func say(out io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(out, format+"\n", args...) // a terminal that is gone stops nothing
}
