package route

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gaissmai/bart"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Bounds.
const (
	// MaxRoutes is how many routes are held; the whole internet has some 1.3 million.
	MaxRoutes = 4 << 20
	// receiveBuffer is what the socket asks for; the kernel may grant less (sysctl net.core.rmem_max).
	receiveBuffer = 8 << 20
)

// Times of the full readings.
const (
	// calm is how long a reading waits for further changes.
	calm = 200 * time.Millisecond
	// restFactor times what a reading takes is how long the next one waits, which bounds what readings can cost.
	restFactor = 10
	// refresh is how long a change can stay unseen that no message told of.
	refresh = 5 * time.Minute
	// shortest is how long to wait for a message where nothing is to be waited for: a deadline that has passed reads nothing.
	shortest = time.Millisecond
	// attempts is how often a reading is repeated at once because the routes changed under it.
	attempts = 3
)

// Table holds the routes.
type Table struct {
	log      *slog.Logger
	events   *nl.NetlinkSocket // what the kernel tells
	requests *nl.SocketHandle  // what it is asked

	trie atomic.Pointer[bart.Table[*entry]] // what Fill reads: that of fib, once it may be seen
	counters

	// What follows belongs to Open's goroutine, then to Run's.
	fib   fib
	links map[int32]uint32 // the flags that decide over routes, by index
	// behind is set after a reading until all messages are read that it may have overtaken.
	behind  bool
	wanted  Reason // why the next reading is due
	due     time.Time
	resting time.Time // no reading before
	full    bool      // routes were refused, and it was said
}

// Open reads the routes. It needs no privilege.
func Open(log *slog.Logger) (_ *Table, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Table{log: log, links: make(map[int32]uint32), fib: newFIB()}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	t.trie.Store(t.fib.trie)
	// Told first, asked then: what changes meanwhile waits in the socket.
	t.events, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP)
	if err != nil {
		return nil, fmt.Errorf("subscribe to routes: %w", err)
	}
	if err := t.events.SetReceiveBufferSize(receiveBuffer, false); err != nil {
		return nil, fmt.Errorf("receive buffer for routes: %w", err)
	}
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("ask for routes: %w", err)
	}
	t.requests = &nl.SocketHandle{Socket: socket}
	if err := socket.SetReceiveTimeout(&nl.SocketTimeoutTv); err != nil {
		return nil, fmt.Errorf("ask for routes: %w", err)
	}
	t.want(ReasonStart)
	if err := t.readAll(); err != nil {
		return nil, err
	}
	return t, nil
}

// Close lets the sockets go. Run must have returned.
func (t *Table) Close() {
	if t.events != nil {
		t.events.Close()
	}
	if t.requests != nil {
		t.requests.Close()
	}
}

// Run follows the routes until ctx ends. An error is one of the socket that does not pass.
func (t *Table) Run(ctx context.Context) error {
	wake := context.AfterFunc(ctx, t.Close) // ends the waiting
	defer wake()
	for {
		messages, err := t.receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.EAGAIN):
			t.behind = false // the socket is empty
		case errors.Is(err, unix.ENOBUFS):
			t.overruns.Add(1)
			t.want(ReasonOverrun)
		case err != nil:
			return fmt.Errorf("follow the routes: %w", err)
		}
		for i := range messages {
			t.apply(&messages[i])
		}
		t.publish()
		if !t.due.IsZero() && !time.Now().Before(t.due) {
			if err := t.readAll(); err != nil && ctx.Err() == nil {
				t.log.Error("cannot read the routes, trying again", "err", err)
				t.want(ReasonRetry)
			}
		}
	}
}

// receive waits for messages until the next reading is due, or refresh has passed.
func (t *Table) receive() ([]syscall.NetlinkMessage, error) {
	wait := refresh
	switch {
	case t.behind:
		wait = shortest // what is there
	case !t.due.IsZero():
		wait = max(time.Until(t.due), shortest)
	}
	limit := unix.NsecToTimeval(int64(wait))
	if err := t.events.SetReceiveTimeout(&limit); err != nil {
		return nil, err
	}
	messages, from, err := t.events.Receive()
	if err != nil {
		if wait == refresh && errors.Is(err, unix.EAGAIN) {
			t.want(ReasonRefresh)
		}
		return nil, err
	}
	if from.Pid != nl.PidKernel {
		return nil, nil // any process may send here
	}
	return messages, nil
}

// publish lets Fill see the routes as they stand.
func (t *Table) publish() {
	t.trie.Store(t.fib.trie)
	t.routes.Store(int64(t.fib.routes))
}

// want asks for a full reading, soon.
func (t *Table) want(why Reason) {
	if !t.due.IsZero() {
		return
	}
	t.wanted, t.due = why, time.Now().Add(calm)
	if t.due.Before(t.resting) {
		t.due = t.resting
	}
}
