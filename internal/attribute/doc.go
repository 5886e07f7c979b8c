// Package attribute says of each record who is client and who serves, in which networks they are, and which way the
// packets went.
//
// The assembly compiles a Config once at load into Rules, which are immutable and safe for concurrent use. The goroutine that
// turns batches into rows owns a Stage, which applies Rules to whole batches and counts; a reload hands it other Rules
// between two batches. Nothing needs closing.
//
// What comes out is a function of the record and the Config alone: no memory of other records. A batch that is delivered again
// is attributed as before, and the records of one conversation agree as far as evidence and rules are symmetric: the handshake
// bits are, since the table keeps them over active-timeout exports and each direction has its own; lower_port and port_match
// are unless they name a side; a rule between two networks is when it says both ways.
package attribute
