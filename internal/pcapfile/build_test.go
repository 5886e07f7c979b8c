package pcapfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"flowsensor/internal/frame"
	"flowsensor/internal/pcapfile"
)

// byteOrder is what both orders of encoding/binary are.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// builder writes capture files field by field, right ones and wrong ones.
type builder struct {
	order byteOrder
	b     []byte
}

func little() *builder    { return &builder{order: binary.LittleEndian} }
func bigEndian() *builder { return &builder{order: binary.BigEndian} }

func (f *builder) u16(v ...uint16) *builder {
	for _, v := range v {
		f.b = f.order.AppendUint16(f.b, v)
	}
	return f
}

func (f *builder) u32(v ...uint32) *builder {
	for _, v := range v {
		f.b = f.order.AppendUint32(f.b, v)
	}
	return f
}

func (f *builder) raw(v ...byte) *builder {
	f.b = append(f.b, v...)
	return f
}

const (
	micros = 0xa1b2c3d4
	nanos  = 0xa1b23c4d
)

// pcap writes a file header of version 2.4.
func (f *builder) pcap(magic, link uint32) *builder {
	return f.u32(magic).u16(2, 4).u32(0, 0, 65535, link)
}

// frame writes a frame of a pcap file, whole.
func (f *builder) frame(sec, fraction uint32, data string) *builder {
	return f.u32(sec, fraction, uint32(len(data)), uint32(len(data))).raw([]byte(data)...)
}

// block writes a pcapng block with its lengths and padding.
func (f *builder) block(kind uint32, body []byte) *builder {
	padded := append(slices.Clone(body), make([]byte, -len(body)&3)...)
	length := uint32(len(padded) + 12)
	return f.u32(kind, length).raw(padded...).u32(length)
}

// body is what a block holds, in the same byte order.
func (f *builder) body() *builder { return &builder{order: f.order} }

func (f *builder) section() *builder {
	return f.block(0x0a0d0d0a, f.body().u32(0x1a2b3c4d).u16(1, 0).u32(0xffffffff, 0xffffffff).b)
}

func (f *builder) option(code uint16, value ...byte) *builder {
	return f.u16(code, uint16(len(value))).raw(value...).raw(make([]byte, -len(value)&3)...)
}

func (f *builder) describe(link uint16, options []byte) *builder {
	return f.block(1, f.body().u16(link, 0).u32(0).raw(options...).b)
}

func (f *builder) named(link uint16, name string) *builder {
	return f.describe(link, f.body().option(2, []byte(name)...).u32(0).b)
}

func (f *builder) enhanced(id uint32, ts uint64, data string) *builder {
	size := uint32(len(data))
	body := f.body().u32(id, uint32(ts>>32), uint32(ts), size, size).raw([]byte(data)...)
	return f.block(6, body.raw(make([]byte, -len(data)&3)...).b)
}

// seen is a visited frame, copied.
type seen struct {
	Data    string
	Time    int64
	Len     uint32
	IfIndex uint32
	Link    frame.LinkType
}

// read visits all frames of a file.
func read(file []byte) ([]seen, *pcapfile.Reader, error) {
	r, err := pcapfile.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, nil, err
	}
	frames, err := walk(r)
	return frames, r, err
}

func walk(r *pcapfile.Reader) ([]seen, error) {
	var frames []seen
	err := r.Walk(func(f *frame.Frame) {
		frames = append(frames, seen{string(f.Data), f.Time, f.Len, f.IfIndex, f.Link})
	})
	return frames, err
}

// mustRead fails the test unless the file is read to its end and gives just these frames.
func mustRead(t *testing.T, file []byte, want ...seen) *pcapfile.Reader {
	t.Helper()
	frames, r, err := read(file)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(frames, want) {
		t.Errorf("got  %+v\nwant %+v", frames, want)
	}
	return r
}

// mustFail fails the test unless reading gives that error, after so many frames.
func mustFail(t *testing.T, file []byte, frames int, want error) {
	t.Helper()
	got, _, err := read(file)
	if !errors.Is(err, want) || len(got) != frames {
		t.Errorf("%d frames and %v, want %d and %v", len(got), err, frames, want)
	}
}
