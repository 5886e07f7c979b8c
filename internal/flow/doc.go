// Package flow holds the values that every stage of both daemons passes on: the flow key, the packet that updates a
// flow, the record that leaves it, and the batch of records that travels.
//
// It is a leaf: plain values, the standard library alone, no pointers in Key, Packet and Record, so that tables of them
// cost the garbage collector nothing. All names and units are those of RFC 7011 and its information elements; where a
// value is derived in a way of ours, its comment says so. Values may be copied freely and are not safe for concurrent
// writing.
package flow
