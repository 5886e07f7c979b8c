package capture

import (
	"fmt"

	"flowsensor/internal/frame"
)

// engine is one socket with one ring. Its methods are for one goroutine, but its descriptor may be asked and told things
// (see socket.go) from any while it is open.
type engine interface {
	// fd is the socket's descriptor.
	fd() int
	// settle discards what the ring took before the reject-all filter was on. It is called once, before the first walk.
	settle() error
	// walk hands over the frames of one block and gives it back to the kernel by the next call at the latest. It waits
	// at most pollWait, and gives 0 when there was none. It fills in f for every frame but does not touch Link. errLink
	// says that the socket has a pending error.
	walk(f *frame.Frame, visit func(*frame.Frame)) (int, error)
	// losing is the number of blocks that the kernel marked so: it was dropping packets when it closed them.
	losing() uint64
	// close unmaps the ring and closes the socket.
	close() error
}

// engineSpec is what an engine is opened with.
type engineSpec struct {
	dev    device
	cfg    Config // with defaults
	vnet   vnetPolicy
	fanout fanout
}

// openGroup opens the rings of a tap, all or none, as one fanout group that takes nothing yet and has nothing in it.
//
// A socket that is bound before it joins its group gets every packet of the interface, so N workers would start with N
// copies of the same packets. So each socket rejects everything as soon as it can (gopacket binds before a filter can be
// set), and once all have joined, what came in before is discarded, and counted nowhere.
func openGroup(spec engineSpec) (group []engine, err error) {
	defer func() {
		if err != nil {
			closeAll(group)
			group = nil
		}
	}()
	fds := make([]int, 0, spec.cfg.Workers)
	for range spec.cfg.Workers {
		e, err := openEngine(spec)
		if err != nil {
			return group, fmt.Errorf("open a ring on %s: %w", spec.dev.name, explain(err))
		}
		group = append(group, e)
		fds = append(fds, e.fd())
		if err := setFilter(e.fd(), rejectAll()); err != nil {
			return group, err
		}
	}
	if err := spec.fanout.join(fds); err != nil {
		if spec.dev.state == LinkDown {
			err = fmt.Errorf("%w (%s is down: older kernels let only interfaces that are up into a group)", err, spec.dev.name)
		}
		return group, err
	}
	quiesce()
	return group, settleAll(group)
}

// settleAll settles all engines at the same time, for each may wait for a block that is not there, and sets the kernel's
// counts to zero.
func settleAll(group []engine) error {
	done := make(chan error, len(group))
	for _, e := range group {
		go func() { done <- e.settle() }()
	}
	var first error
	for range group {
		if err := <-done; err != nil && first == nil {
			first = err
		}
	}
	for _, e := range group {
		if _, err := takeCounts(e.fd()); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func closeAll(group []engine) {
	for _, e := range group {
		_ = e.close() // the error that made it necessary is the one to tell
	}
}
