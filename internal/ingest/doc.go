// Package ingest takes the sensors' datagrams off the network: UDP -> open -> parse -> validate -> hand over.
//
// The collector's assembly calls Listen, then Run with a Sink, SetOpener on each reload, Stats from anywhere, Close at
// the end. Every socket has one goroutine, which reads batches (recvmmsg) and takes each datagram through all its steps
// in place: senders are spread over the sockets by the kernel, so a sensor's datagrams stay in order, and when the
// processors fall behind, the sockets' receive buffers are the queue: bounded, and their drops are counted by the
// kernel (SO_RXQ_OVFL). There is no queue in here.
//
// The order of the steps is that of internal/README.md's receive order: size, shape, id, address, HMAC, clock (against
// the kernel's receive time), kind, tx, parse, validate. A datagram ends in exactly one Reason, and each has its
// counter. Before authentication nothing is counted by sensor or address, since anybody can write anything into a
// datagram; after it there are counters for each sensor, and the sensors are those of the configuration.
//
// Ownership: a Batch handed to the Sink belongs to the Sink when it says Accepted, until it is given back by Settle. One
// that the Sink refuses stays with this package.
//
// Bare tokens, of the agents of older systems, are taken where the configuration has such agents. They are counted apart
// from all else, are never answered, and what is lost of them is not sent again.
//
// Answers: a batch is acknowledged when it is settled as Durable. Acknowledgements of a sensor are gathered for a while and
// go, with refusals, to the source of its datagram with the highest new tx, by the socket and from the address that it came
// to, sealed with the key that opened it, and never longer than it was. A seen tx is not answered at all; a batch that comes
// again under a new one is acknowledged again once it is durable. A refused clock and a probe are answered at once. Close
// sends what is still to be told.
package ingest
