package sensor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/daemon"
	"flowsensor/internal/export"
	"flowsensor/internal/sensor"
	"flowsensor/internal/status"
	"flowsensor/internal/testnet"
)

// alive runs a sensor on the loopback of a namespace of its own until the test ends, and gives its options for who asks.
func alive(t *testing.T, log *slog.Logger) (*testnet.Link, sensor.StatusOptions) {
	t.Helper()
	link := testnet.NewLink(t, testnet.Config{})
	path, c := configured(t, link.Capture.Interface)
	c.Status.Socket = filepath.Join(filepath.Dir(path), "s")
	c.Export.Delivery = export.FireAndForget // nobody answers, and nothing is to wait for it
	var s *sensor.Service
	if err := link.Capture.Do(func() error {
		s = sensor.NewService(path, c, daemon.NewMonitor(time.Minute, nil), log)
		return s.Start(t.Context())
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(c.Status.Socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	return link, sensor.StatusOptions{Socket: c.Status.Socket, Config: path}
}

// udp sends datagrams of a size to the capture side, from one port.
func udp(t *testing.T, link *testnet.Link, port string, n, size int) {
	t.Helper()
	to := net.JoinHostPort(link.Capture.IPv4.String(), port)
	conn, err := link.Generator.Dial(t.Context(), "udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for range n {
		for { // a write tells that the one before was refused, and sends nothing then
			if _, err := conn.Write(make([]byte, size)); err == nil {
				break
			}
		}
	}
}

func TestStatusOfARunningSensor(t *testing.T) {
	testnet.RequireRoot(t)
	link, o := alive(t, slog.New(slog.DiscardHandler))
	udp(t, link, "4001", 50, 1000)
	udp(t, link, "4002", 5, 100)
	client := status.NewClient(o.Socket)
	defer client.Close()
	var s sensor.Snapshot
	await(t, func() bool {
		if err := client.Get(t.Context(), "/status", &s); err != nil {
			t.Fatal(err)
		}
		return s.Ledger.Packets.Accounted >= 55
	})
	in := s.Interfaces[0]
	if s.ID != "edge-1" || s.Program != "flow-sensor" || in.Name != link.Capture.Interface || in.Link != "up" || !in.Promiscuous || in.Workers != 2 ||
		in.Received < 55 || in.NIC == nil || in.NIC.Packets < 55 || s.MaxFlows != 4096 || s.Ledger.Flows < 2 || len(s.Stalled) != 0 {
		t.Errorf("got %+v\n%+v", s, s.Ledger)
	}
	var top sensor.TopSnapshot
	if err := client.Get(t.Context(), "/top?flows=1", &top); err != nil {
		t.Fatal(err)
	}
	if len(top.Flows) != 1 || len(top.Silent) != 0 {
		t.Fatalf("got %+v", top)
	}
	f := top.Flows[0]
	if f.DstPort != 4001 || f.Proto != 17 || f.Bytes != 50*1028 || f.Packets != 50 || f.Src != link.Generator.IPv4 || f.Iface != in.Name ||
		f.BytesPerSecond == 0 || f.BytesPerSecond > f.Bytes || f.PacketsPerSecond == 0 || time.Since(f.First) > time.Minute || f.Last.Before(f.First) {
		t.Errorf("got %+v", f)
	}
	shown(t, o, link.Capture.Interface)
}

// shown is what the commands print.
func shown(t *testing.T, o sensor.StatusOptions, iface string) {
	t.Helper()
	var out bytes.Buffer
	o.Out = &out
	if err := sensor.ShowStatus(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sensor edge-1", "INTERFACE", iface + " ", "packets    ", "collector  127.0.0.1:9"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := sensor.ShowStatusJSON(t.Context(), o); err != nil || !json.Valid(out.Bytes()) || !strings.Contains(out.String(), `"version": 1`) {
		t.Errorf("%v: %s", err, out.String())
	}
	out.Reset()
	if err := sensor.ShowTop(t.Context(), sensor.TopOptions{StatusOptions: o, Interval: 200 * time.Millisecond, Flows: 5, Count: 2}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Count(text, "packets/s") != 2 || strings.Count(text, ":4001") != 2 || strings.Contains(text, "\x1b") {
		t.Errorf("got\n%s", text)
	}
}

// Whoever asks at the same time shares one look, and what is asked disturbs no count.
func TestManyAskAtOnce(t *testing.T) {
	testnet.RequireRoot(t)
	link, o := alive(t, slog.New(slog.DiscardHandler))
	udp(t, link, "4001", 10, 100)
	errs := make(chan error, 20)
	for range cap(errs) {
		go func() {
			client := status.NewClient(o.Socket)
			defer client.Close()
			var top sensor.TopSnapshot
			err := client.Get(t.Context(), "/top", &top)
			if err == nil && len(top.Silent) > 0 {
				err = fmt.Errorf("silent: %v", top.Silent)
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// A sensor whose socket another has works, and says so once.
func TestSensorRunsWithoutItsSocket(t *testing.T) {
	testnet.RequireRoot(t)
	var logged bytes.Buffer
	path, c := configured(t, "lo")
	c.Status.Socket = filepath.Join(filepath.Dir(path), "s")
	taken, err := status.Listen(c.Status.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s := sensor.NewService(path, c, daemon.NewMonitor(time.Minute, nil), slog.New(slog.NewTextHandler(&logged, nil)))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(logged.String(), "no status socket") || !strings.Contains(logged.String(), "another daemon") {
		t.Error(logged.String())
	}
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatal("not in time")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
