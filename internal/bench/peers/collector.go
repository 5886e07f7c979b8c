package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"

	"flowsensor/internal/flow"
	"flowsensor/internal/ingest"
	"flowsensor/internal/seal"
	"flowsensor/internal/testnet"
)

// collectorAddress is where the sensor with acknowledged delivery sends to, in the capture's namespace.
const collectorAddress = "127.0.0.1:9998"

// collector is the flow-collector's receiving side: what it opens counts as durable at once.
type collector struct {
	server *ingest.Server
	ran    chan error
}

// openCollector receives what the sensor of our configuration seals with key, and counts the batches in taken.
func openCollector(h *testnet.Host, key seal.Key, taken *atomic.Uint64) (*collector, error) {
	opener, err := seal.NewOpener([]seal.Sensor{{ID: sensorID, Keys: []seal.Key{key}}}, seal.Limits{})
	if err != nil {
		return nil, err
	}
	conn, err := h.ListenPacket("udp", collectorAddress)
	if err != nil {
		return nil, err
	}
	c := &collector{ran: make(chan error, 1)}
	c.server, err = ingest.Listen(ingest.Config{ID: "bench", Conns: []net.PacketConn{conn}}, opener, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	go func() {
		c.ran <- c.server.Run(context.Background(), func(b *flow.Batch) ingest.Verdict {
			taken.Add(1)
			c.server.Settle(b, ingest.Durable)
			return ingest.Accepted
		})
	}()
	return c, nil
}

func (c *collector) close() error { return errors.Join(c.server.Close(), <-c.ran) }
