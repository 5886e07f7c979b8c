// Package testnet builds small networks out of Linux network namespaces: a software SPAN port (two hosts, a third that
// gets a mirror of their link), a single link between a generator and a capture side, and a UDP proxy that loses,
// repeats, delays and reorders by seed.
//
// Tests and the demonstration call it, nothing else does. It needs root (see RequireRoot) and no installed program but
// nsenter, for Host.Command. A namespace lives as long as an open descriptor of this process or a process inside it:
// nothing has a name in /run/netns, so nothing is left behind when a test is killed, apart from programs started inside,
// which Sweep ends. Every method may be called from any goroutine. New and NewLink close what they made when the test
// ends; who calls Open or OpenLink closes it.
package testnet
