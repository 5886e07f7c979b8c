// Package route keeps the kernel's routes in memory, to tell where a flow went: next hop, output interface, and the
// lengths of the prefixes that hold its addresses.
//
// The sensor's assembly calls Open, which reads all routes, in the network namespace of the thread that calls it; then
// Run on a goroutine of its own, which follows the changes that netlink(7) tells of; Fill for each record that leaves a
// flow table, from any number of goroutines; Stats from anywhere; and Close when Run has returned. No flow ever costs a
// question to the kernel.
//
// What is kept is the main routing table, of both IP versions: neither the routes of policy rules' tables nor those by
// ToS or by source address, and not the table of local addresses, so that a flow to this machine itself has the route of
// the network it came in by. Of a route with several next hops it is the first that is alive. A route that leads nowhere
// (unreachable, blackhole, prohibit, throw) tells nothing, and hides the shorter ones behind it, as it does for packets.
//
// Most changes come as messages and are applied one by one; Fill sees each state as a whole. What messages leave open is
// read again in full: the kernel drops IPv4 routes without a word when a link goes down or an address goes, tells of some
// changes to next hops in ways that fit several routes, and drops messages when the socket's buffer is full (ENOBUFS).
package route
