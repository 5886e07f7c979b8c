package main

import (
	"errors"
	"net"
	"sync/atomic"

	"flowsensor/internal/seal"
	"flowsensor/internal/testnet"
)

// sinkAddress is where everyone who exports over the network sends to, in the capture's namespace.
const sinkAddress = "127.0.0.1:9999"

// sink takes datagrams and counts them; those of acknowledged delivery go to the collector in it.
type sink struct {
	conn      net.PacketConn
	datagrams atomic.Uint64
	done      chan struct{}
	key       seal.Key // of our sensor
	collector *collector
}

func openSink(h *testnet.Host) (*sink, error) {
	key, err := seal.GenerateKey()
	if err != nil {
		return nil, err
	}
	conn, err := h.ListenPacket("udp", sinkAddress)
	if err != nil {
		return nil, err
	}
	if udp, ok := conn.(*net.UDPConn); ok {
		if err := udp.SetReadBuffer(8 << 20); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	s := &sink{conn: conn, key: key, done: make(chan struct{})}
	if s.collector, err = openCollector(h, key, &s.datagrams); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go s.run()
	return s, nil
}

// run ends when the socket is closed.
func (s *sink) run() {
	defer close(s.done)
	buffer := make([]byte, 1<<16)
	for {
		_, _, err := s.conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			s.datagrams.Add(1)
		}
	}
}

func (s *sink) close() error {
	err := s.conn.Close()
	<-s.done
	return errors.Join(err, s.collector.close())
}
