package testnet

import (
	"net"

	"github.com/mdlayher/packet"
)

// Frames sends frames as they are, from the Ethernet header on: VLAN tags, fragments, anything. Host.Frames makes one.
type Frames struct {
	conn *packet.Conn
	sent uint64
}

// Frames opens the interface for sending raw frames. Close it.
func (h *Host) Frames() (*Frames, error) {
	f := &Frames{}
	err := h.Do(func() error {
		device, err := net.InterfaceByName(h.Interface)
		if err != nil {
			return err
		}
		f.conn, err = packet.Listen(device, packet.Raw, 0, nil) // protocol 0 receives nothing
		return err
	})
	if err != nil {
		return nil, h.failed("raw socket", err)
	}
	return f, nil
}

// Send puts one frame on the wire. Not safe for concurrent use.
func (f *Frames) Send(frame []byte) error {
	if _, err := f.conn.WriteTo(frame, &packet.Addr{HardwareAddr: frame[:6]}); err != nil {
		return err
	}
	f.sent++
	return nil
}

// Sent is the number of frames that Send has sent.
func (f *Frames) Sent() uint64 { return f.sent }

// Close closes the socket.
func (f *Frames) Close() error { return f.conn.Close() }
