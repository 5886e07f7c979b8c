package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"flowsensor/internal/testnet"
)

// What is sent, each over IPv4 and IPv6.
const (
	transferSize = 4 << 20
	datagrams    = 200
	datagramSize = 500
	webPort      = 80
	udpPort      = 5004
)

// talk makes host A fetch a file from host B and send it datagrams.
func talk(ctx context.Context, span *testnet.Net) error {
	for _, b := range []netip.Addr{span.B.IPv4, span.B.IPv6} {
		if err := errors.Join(transfer(ctx, span, b), stream(ctx, span, b)); err != nil {
			return err
		}
	}
	return nil
}

// transfer is a real HTTP download by A from B.
func transfer(ctx context.Context, span *testnet.Net, b netip.Addr) error {
	address := netip.AddrPortFrom(b, webPort).String()
	listener, err := span.B.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, transferSize)) // the client checks the length
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: span.A.Dial}}
	n, err := fetch(ctx, client, "http://"+address+"/")
	if err == nil && n != transferSize {
		err = fmt.Errorf("fetched %d octets of %d", n, transferSize)
	}
	err = errors.Join(err, server.Close())
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

func fetch(ctx context.Context, client *http.Client, url string) (n int64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(io.Discard, response.Body)
	return n, errors.Join(err, response.Body.Close())
}

// stream sends datagrams from A to B, which only listens.
func stream(ctx context.Context, span *testnet.Net, b netip.Addr) error {
	address := netip.AddrPortFrom(b, udpPort).String()
	sink, err := span.B.ListenPacket("udp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	source, err := span.A.Dial(ctx, "udp", address)
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	return errors.Join(send(source), source.Close(), sink.Close())
}

func send(source net.Conn) error {
	for range datagrams {
		if _, err := source.Write(make([]byte, datagramSize)); err != nil {
			return err
		}
	}
	return nil
}
