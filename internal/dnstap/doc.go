// Package dnstap takes the answers that a DNS server gave its clients from the server itself, as dnstap messages
// (https://dnstap.info) over Frame Streams, on a Unix or TCP socket.
//
// The collector's assembly calls Listen, then Run once, which hands each answer to a function from the goroutine of its
// connection; when Run's context ends, so do the connections. Close comes last. Stats may be called from any goroutine.
//
// Of the message types CLIENT_RESPONSE counts alone: what a server told a client. The time is that of the response, or of the
// collector where the server gave none.
//
// Whoever can connect can name any client's flows, for dnstap knows no authentication: a Unix socket belongs to a group, and a
// TCP socket onto an address that strangers do not reach. All is bounded: connections, the length of a frame, the time of a
// handshake.
package dnstap
