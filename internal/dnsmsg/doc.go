// Package dnsmsg reads the answers of DNS servers (RFC 1035): out of the segments that a sensor captures, and out of single
// messages, as dnstap has them.
//
// A Decoder belongs to one goroutine; Stats alone may be called from any. It keeps nothing of what it is given, and there
// is nothing to close. What it gives out is new memory: a flow.DNSAnswer may be kept and handed on.
//
// An answer is made of every response to one question of class IN that has addresses, that says that the name has none of
// the type A or AAAA asked for (NODATA, RFC 2308 section 2.2), or that failed. Addresses are folded along the chain of
// aliases: they belong to the name that was asked for, for the least time to live on the way. Nothing but the answer
// section counts, since anybody may write additional records about any name. Every message without an answer is counted by
// its Reason.
//
// Messages come from whoever can send a packet: the walk is bounded in records, aliases and compression pointers, and names
// leave it as flow.ValidDNSName has them.
//
// Segments are not put together: a message that is cut by the capture, spread over fragments or over TCP segments is counted
// and left. A segment in the middle of a TCP stream may begin anywhere; what does not look like a message's length there is
// counted as split.
package dnsmsg
