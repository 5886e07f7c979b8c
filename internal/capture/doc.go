// Package capture takes frames off one network interface through AF_PACKET rings (TPACKET_V3) and hands them to the
// workers, losing none without a count.
//
// The assembly calls Open once an interface; a Tap has one Ring a worker, all of one fanout group, so each frame reaches
// exactly one ring. One goroutine, always the same, calls a ring's Walk in a loop; it alone closes that ring's socket, so
// none is ever unmapped under a reader. Every other method may be called from any goroutine. StopTraffic, then Walk until
// io.EOF, then Close is the order of an end that reads every frame; Close alone is safe at any time and counts what it
// leaves unread.
//
// The ledger of a tap, exact at every end of a socket: Received = Walked + Dropped + Discarded. An interface that goes
// down, comes back, or is deleted and made again under its name is the tap's own business: a supervisor goroutine watches
// the links, and the workers see Walk return 0 meanwhile. What passes while no socket is bound is not received, thus in
// no sum: Stats.Down says for how long.
//
// CAP_NET_RAW is all it needs. A tap belongs to the network namespace of the thread that opened it.
package capture
