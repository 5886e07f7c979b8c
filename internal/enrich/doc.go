// Package enrich says which autonomous system an address belongs to: it fills in source and destination AS, mask and AS
// name of a record from MaxMind-format files and from a plain prefix table.
//
// The collector's assembly calls Open, which reads both files or refuses, then Run on a goroutine of its own, which reads
// a file again when it has changed, and Enrich for each record from any number of goroutines. Nothing stays open: there
// is nothing to close once Run has returned.
//
// A table is immutable. A new one is built beside the old one and takes its place by one atomic store, so a reload stops
// nobody, and a record sees the tables as they were at one moment each. A file that cannot be read to its end, or says
// what it should not, leaves the old table where it is. Files are read into memory, never mapped: one that somebody cuts
// while it is in use cannot end the process by SIGBUS.
package enrich
