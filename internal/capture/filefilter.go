package capture

import (
	"context"
	"strings"

	"golang.org/x/net/bpf"

	"flowsensor/internal/frame"
)

// FileFilter is a filter expression for frames of a capture file. It compiles the expression once for each link type
// that it meets. Not safe for concurrent use.
type FileFilter struct {
	expr     string
	machines map[frame.LinkType]*machine
	last     *machine
	lastLink frame.LinkType
}

// NewFileFilter compiles a tcpdump expression for frames of the given link types, so that an expression that cannot be
// is refused before the first frame; other link types are compiled when they are met. An empty expression accepts all.
func NewFileFilter(ctx context.Context, expr string, links ...frame.LinkType) (*FileFilter, error) {
	f := &FileFilter{expr: strings.TrimSpace(expr), machines: make(map[frame.LinkType]*machine)}
	for _, link := range links {
		if err := f.compile(ctx, link); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Match says whether the expression accepts the frame. The error is that of compiling for a link type not met before:
// an expression may make no sense there ("vlan" on raw IP).
func (f *FileFilter) Match(ctx context.Context, fr *frame.Frame) (bool, error) {
	if f.last == nil || f.lastLink != fr.Link {
		if err := f.compile(ctx, fr.Link); err != nil {
			return false, err
		}
	}
	return f.last.accepts(fr.Data, fr.Len), nil
}

func (f *FileFilter) compile(ctx context.Context, link frame.LinkType) error {
	m, known := f.machines[link]
	if !known {
		prog := []bpf.RawInstruction{{Op: opReturn, K: maxSnapLength}}
		if f.expr != "" {
			var err error
			if prog, err = compileFile(ctx, link, f.expr); err != nil {
				return err
			}
		}
		var err error
		if m, err = newMachine(prog); err != nil {
			return err
		}
		f.machines[link] = m
	}
	f.last, f.lastLink = m, link
	return nil
}
