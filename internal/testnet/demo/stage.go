package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"flowsensor/internal/store/influxtest"
	"flowsensor/internal/testnet"
)

// stage is what stands in the third namespace: the two programs, and a database when one was asked for.
type stage struct {
	span      *testnet.Net
	dir, bin  string
	database  *influxtest.Server
	collector *testnet.Program
	sensor    *testnet.Program
}

// The pages of the two programs, in the namespace.
const (
	sensorPage    = "127.0.0.1:9997"
	collectorPage = "127.0.0.1:9998"
	databaseName  = "flows"
)

const sensorConfig = `id = "demo"
state_dir = %[1]q
[[interface]]
name = %[2]q
[flows]
inactive_timeout = "2s"
linger = "500ms"
[export]
collector = ["127.0.0.1:9999"]
key_file = %[3]q
[http]
listen = %[4]q
`

const collectorConfig = `state_dir = %[1]q
[[sensor]]
id = "demo"
key_files = [%[2]q]
[ingest]
listen = ["127.0.0.1:9999"]
[http]
listen = %[3]q
[store]
%[4]s
`

// start writes the configurations and starts both programs.
func (s *stage) start(ctx context.Context, out io.Writer) error {
	key := filepath.Join(s.dir, "demo.key")
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	store := "kind = \"files\"\n"
	if s.database != nil {
		store = fmt.Sprintf("kind = \"influxdb\"\n[store.influxdb]\nurl = %q\ndatabase = %q\n", s.database.URL(), databaseName)
	}
	err := errors.Join(
		os.WriteFile(key, []byte(base64.URLEncoding.EncodeToString(secret)+"\n"), 0o600),
		s.write("collector.toml", collectorConfig, s.dir, key, collectorPage, store),
		s.write("sensor.toml", sensorConfig, s.dir, s.span.C.Interface, key, sensorPage),
	)
	if err != nil {
		return err
	}
	say(out, "Starting flow-collector and flow-sensor in the third; their logs and files are in %s.", s.dir)
	if s.collector, err = s.launch(ctx, "flow-collector", "collector.toml", collectorPage); err != nil {
		return err
	}
	s.sensor, err = s.launch(ctx, "flow-sensor", "sensor.toml", sensorPage)
	return err
}

func (s *stage) write(name, format string, args ...any) error {
	return os.WriteFile(filepath.Join(s.dir, name), fmt.Appendf(nil, format, args...), 0o640)
}

// launch starts a program and waits until it says that it is healthy.
func (s *stage) launch(ctx context.Context, name, config, page string) (*testnet.Program, error) {
	log := filepath.Join(s.dir, name+".log")
	p, err := s.span.C.Start(ctx, log, filepath.Join(s.bin, name), "run", "--config", filepath.Join(s.dir, config))
	if err != nil {
		return nil, err
	}
	return p, p.Await(ctx, "http://"+page+"/healthz")
}

// end stops the sensor, then the collector, each draining.
func (s *stage) end(ctx context.Context) error {
	return errors.Join(s.sensor.Stop(ctx), s.collector.Stop(ctx))
}

// stop ends whatever still runs.
func (s *stage) stop() error {
	s.sensor.Kill()
	s.collector.Kill()
	if s.database != nil {
		return s.database.Stop()
	}
	return nil
}
