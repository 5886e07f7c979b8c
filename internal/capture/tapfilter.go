package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"

	"flowsensor/internal/frame"
)

// userFilter is the configuration's filter expression, compiled for a link type. Compiling runs a program, so it is done
// once a link type; the rest of the kernel filter is put in front of it whenever the filter is set.
type userFilter struct {
	link frame.LinkType
	prog []bpf.RawInstruction // empty where there is no expression
}

// compile gives the user's filter for dev, the same as before where the link type is the same.
func (t *Tap) compile(ctx context.Context, dev device) (*userFilter, error) {
	link, err := linkTypeOf(dev.hardware)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", dev.name, err)
	}
	t.mu.Lock()
	known := t.user
	t.mu.Unlock()
	if known != nil && known.link == link {
		return known, nil
	}
	user := &userFilter{link: link}
	if t.cfg.Filter == "" {
		return user, nil
	}
	through, err := compilerDevice(t.handle, dev, link)
	if err != nil {
		return nil, err
	}
	user.prog, err = compileLive(ctx, through, link, t.cfg.Filter)
	return user, err
}

// compilerDevice gives the interface to compile a filter through. tcpdump refuses one that is down; loopback is of the
// same link type, and always there.
func compilerDevice(h *netlink.Handle, dev device, link frame.LinkType) (string, error) {
	if dev.state != LinkDown || link != frame.Ethernet {
		return dev.name, nil
	}
	if lo, err := lookUp(h, "lo"); err == nil && lo.state != LinkDown {
		return lo.name, nil
	}
	return "", fmt.Errorf("interface %s is down, and tcpdump compiles a filter only for one that is up: set it up, or lo", dev.name)
}

// filterLocked gives the whole kernel filter as of now. Who sets it on a socket that takes frames, or is about to, holds
// t.mu from here until it is set: so no ring is left with the exclusions of before.
func (t *Tap) filterLocked(user *userFilter) ([]bpf.RawInstruction, error) {
	return buildFilter(t.cfg, user.link, t.exclude, user.prog)
}

// SetExclude puts other exclusions in the place of those captured with so far, on every ring and on those of an interface
// that is made again later. Each ring changes over at one stroke, missing no frame; once SetExclude returns nil, no frame
// of the excluded conversations gets into any ring, though some that came before may wait in it. On an error, what the
// sockets could not take over is tried again by another call, and where the filter cannot be built nothing has changed.
func (t *Tap) SetExclude(exclude []Exclusion) error {
	for _, e := range exclude {
		if err := e.validate(); err != nil {
			return err
		}
	}
	renewed, err := t.renew(slices.Clone(exclude))
	if renewed {
		quiesce()
	}
	return err
}

// renew sets the filter with new exclusions on the rings that are there. It is false where there are none: the
// interface is gone, or the tap was stopped and must not be opened again.
func (t *Tap) renew(exclude []Exclusion) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.exclude
	t.exclude = exclude
	if t.user == nil || t.stopped {
		return false, nil
	}
	filter, err := t.filterLocked(t.user)
	if err != nil {
		t.exclude = before
		return false, err
	}
	if !t.attached {
		return false, nil
	}
	var errs []error
	for _, r := range t.rings {
		errs = append(errs, r.setFilter(filter))
	}
	return true, errors.Join(errs...)
}
