package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
	"flowsensor/internal/store/influx"
)

// perBatch is how many records a batch has: a datagram's.
const perBatch = 40

// load is what is written: as batches for the collector's writer, as bodies for the loader.
type load struct {
	batches []*flow.Batch
	bodies  [][]byte
}

// newLoad makes flows as a mirror port gives them, and the lines of them.
func newLoad(lines int) (*load, error) {
	rng := rand.New(rand.NewPCG(1, 2))
	l := &load{}
	for left, base := lines, time.Now().UnixNano(); left > 0; {
		b := newBatch(rng, min(left, perBatch), base)
		l.batches = append(l.batches, b)
		left -= len(b.Records)
		base += int64(len(b.Records))
	}
	return l, l.encode()
}

func newBatch(rng *rand.Rand, records int, base int64) *flow.Batch {
	b := &flow.Batch{Sensor: "edge-1", Base: base, Interfaces: []flow.Interface{{Index: 2, Name: "eth0"}}}
	for range records {
		last := base - rng.Int64N(int64(time.Second))
		b.Records = append(b.Records, flow.Record{
			Key: flow.Key{
				Src: flow.Addr{Lo: 0xc0a80000 | uint64(rng.Uint32N(4096))}, Dst: flow.Addr{Lo: uint64(rng.Uint32())}, Version: 4,
				SrcPort: 1024 + uint16(rng.Uint32N(60_000)), DstPort: [...]uint16{443, 80, 53, 22, 8080}[rng.IntN(5)], IfIndex: 2,
				Proto: [...]uint8{flow.ProtoTCP, flow.ProtoTCP, flow.ProtoUDP}[rng.IntN(3)],
			},
			Bytes: 40 + rng.Uint64N(1_000_000), Packets: 1 + rng.Uint64N(1000), First: last - rng.Int64N(int64(15*time.Second)), Last: last,
			TCPFlags: uint16(rng.Uint32N(64)), EndReason: flow.EndIdle,
		})
	}
	return b
}

// encode makes the bodies, each as long as the writer's.
func (l *load) encode() error {
	var refused error
	encoder := store.NewEncoder()
	var lines store.Lines
	for i, b := range l.batches {
		encoder.Encode(&lines, b, func(_ int, _ store.DeadReason, cause error) { refused = cause })
		if lines.Len() >= store.DefaultConfig().Lines || i == len(l.batches)-1 {
			l.bodies = append(l.bodies, bytes.Clone(lines.Bytes()))
			lines = store.Lines{}
		}
	}
	return refused
}

// post sends the bodies with as many requests at a time as the writer has.
func (l *load) post(ctx context.Context, d database) error {
	bodies := make(chan []byte, len(l.bodies))
	for _, body := range l.bodies {
		bodies <- body
	}
	close(bodies)
	transport := &http.Transport{MaxIdleConnsPerHost: store.DefaultConfig().Writers, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	errs := make([]error, store.DefaultConfig().Writers)
	var posting sync.WaitGroup
	for i := range errs {
		posting.Go(func() {
			for body := range bodies {
				if errs[i] = postOne(ctx, client, d.url+"/write?precision=ns&db="+d.name, body); errs[i] != nil {
					return
				}
			}
		})
	}
	posting.Wait()
	return errors.Join(errs...)
}

func postOne(ctx context.Context, client *http.Client, url string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusNoContent {
		err = errors.Join(err, fmt.Errorf("the server says %s", answer.Status))
	}
	return errors.Join(err, answer.Body.Close())
}

// write gives the batches to the collector's writer.
func (l *load) write(ctx context.Context, d database, encoding influx.Encoding) (err error) {
	dead, err := store.OpenDeadLetters(store.DeadLetterConfig{Path: filepath.Join(d.dir, d.name+".lp"), MaxSize: 1 << 20})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dead.Close()) }()
	w, err := influx.Open(influx.Config{URL: d.url, API: influx.V1, Database: d.name, Encoding: encoding})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	room := make(chan struct{}, store.DefaultConfig().Queue/perBatch)
	p, err := store.NewPool(store.DefaultConfig(), store.Deps{
		Writer: w, DeadLetters: dead, Log: slog.New(slog.DiscardHandler),
		Release: func(*flow.Batch, store.Outcome) { <-room },
	})
	if err != nil {
		return err
	}
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	for _, b := range l.batches {
		room <- struct{}{}
		if err = p.Submit(b); err != nil {
			break
		}
	}
	return errors.Join(err, p.Drain(ctx), <-ran)
}
