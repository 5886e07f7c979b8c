package route

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// readAll reads all routes and lets them take the place of those that are known.
func (t *Table) readAll() error {
	start := time.Now()
	t.readings[t.wanted].Add(1)
	t.due = time.Time{}
	next, whole, err := fib{}, false, error(nil)
	for range attempts {
		next = newFIB()
		if whole, err = t.dumpBoth(&next); whole || err != nil {
			break
		}
	}
	now := time.Now()
	t.resting = now.Add(restFactor * now.Sub(start))
	if err != nil {
		t.failures.Add(1)
		return fmt.Errorf("read the routes: %w", err)
	}
	if !whole {
		t.want(ReasonRetry) // better than what was known, though not of one moment
	}
	t.fib, t.behind = next, true
	t.publish()
	return nil
}

// dumpBoth reads the routes of both IP versions, and says whether they are of one moment each.
func (t *Table) dumpBoth(into *fib) (whole bool, err error) {
	whole = true
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		err := t.dump(into, family)
		if errors.Is(err, nl.ErrDumpInterrupted) {
			whole = false
		} else if err != nil {
			return false, err
		}
	}
	return whole, nil
}

// dump reads the routes of one IP version.
func (t *Table) dump(into *fib, family uint8) error {
	request := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	request.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: t.requests}
	header := nl.NewRtMsg()
	header.Family = family
	request.AddData(header)
	var malformed error
	err := request.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE, func(b []byte) bool {
		r, keep, err := parseRoute(b)
		switch {
		case err != nil:
			malformed = err
		case keep:
			t.judge(into.load(r))
		}
		return true
	})
	if err == nil {
		err = malformed
	}
	return err
}

// apply takes one message of the kernel.
func (t *Table) apply(m *syscall.NetlinkMessage) {
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		t.applyRoute(m)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		t.applyLink(m)
	case unix.RTM_DELADDR:
		t.want(ReasonAddress)
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		t.want(ReasonNexthop)
	}
}

func (t *Table) applyRoute(m *syscall.NetlinkMessage) {
	r, keep, err := parseRoute(m.Data)
	switch {
	case err != nil:
		t.want(ReasonMessage)
	case !keep:
	case m.Header.Type == unix.RTM_NEWROUTE:
		t.updates.Add(1)
		t.judge(t.fib.add(r, m.Header.Flags))
	default:
		t.updates.Add(1)
		t.judge(t.fib.remove(r))
	}
}

// judge draws the conclusions of a change.
func (t *Table) judge(o outcome) {
	switch o {
	case outcomeDone:
	case outcomeUnclear:
		t.want(ReasonUnclear)
	case outcomeUnknown:
		// What is read late was perhaps known already when all was read; and what had no room is not there.
		if !t.behind && !t.full {
			t.want(ReasonUnknown)
		}
	case outcomeFull:
		t.refused.Add(1)
		if !t.full {
			t.full = true
			t.log.Warn("there are more routes than are kept: flows over the others go without", "limit", MaxRoutes)
		}
	}
}

// deciding are the flags of a link that decide over its routes.
const deciding = unix.IFF_UP | unix.IFF_LOWER_UP | unix.IFF_RUNNING

// applyLink asks for a reading where a link's state changed: IPv4 routes over it are gone then or dead, and no message
// says so (fib_sync_down_dev, net/ipv4/fib_semantics.c).
func (t *Table) applyLink(m *syscall.NetlinkMessage) {
	index, flags, err := parseLink(m.Data)
	if err != nil {
		t.want(ReasonMessage)
		return
	}
	flags &= deciding
	old, known := t.links[index]
	switch {
	case m.Header.Type == unix.RTM_DELLINK:
		delete(t.links, index)
	case known && old == flags:
		return
	default:
		t.links[index] = flags
	}
	t.want(ReasonLink)
}
