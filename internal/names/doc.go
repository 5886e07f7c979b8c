// Package names remembers which name a client was given an address for, so that a flow can tell its server by the name its
// client asked for.
//
// The collector adds the answers as they come (Add) and asks for each flow (Lookup). A Cache is safe for concurrent use, runs
// nothing of its own and needs no closing. Both take tens to hundreds of nanoseconds.
//
// An answer holds for the client that got it and for nobody else: what is forged for one client names no other client's
// flows. It holds from its time until its time to live and the grace have passed, since programs keep addresses for longer
// than they should, and connections last; a flow that it named lets it hold for the grace from the flow's end. Of several
// answers that hold when a flow begins, the last one before it counts.
//
// Answers and flows carry their own time, and nothing here knows another: records that were kept in a spool for a day find
// the names of that day, as long as there was room for them. An answer that comes after a flow was asked for comes too late.
//
// A scope keeps apart networks that may use the same addresses: the flows of a scope find the answers of that scope, then
// those of the scope "", which all flows find.
//
// Memory is bounded by Config.MaxEntries: when there is no room, an answer that was long not used goes. Clients are
// dealt into groups by chance, and no group holds more than Config.MaxPerClient answers, so a client that asks for very much
// turns out its own answers, not those of others.
package names
