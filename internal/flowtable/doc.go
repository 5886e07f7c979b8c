// Package flowtable keeps the flows of one capture worker in a table of fixed size and exports them as records when they
// end or grow old.
//
// A Table belongs to one goroutine: no lock, no clock (the caller says what time it is), no pointer in the memory it
// keeps, no allocation after New. Only Stats may be called from other goroutines. Whoever called New calls Flush and then
// Close. Nothing gets lost: packets and bytes accounted are those of the records emitted plus those still held.
//
// Times are nanoseconds in a time base of the caller's, any int64: the monotonic clock for live traffic, capture time for
// files. What ends a record, in this order:
//
//  1. The table is full and another flow needs the room: of a sample of entries the least recently used one is exported
//     (reason full) and evicted.
//  2. A FIN or RST was seen: exported (rst, else fin) once no packet came for Linger, so that trailing ACKs join the flow;
//     at once when a SYN without ACK opens the next connection.
//  3. Active passed since the record's first packet: exported (active), and the next packet begins a new record in the same
//     entry, which keeps its handshake bits. A lingering flow's active timer is looked at when a packet comes.
//     Inactive passed since the flow's last packet: exported (idle). Of these two the timer that ran out first counts.
//
// Account applies the timers by the packets' own times, exactly, whatever entries the sweep of Expire has reached; Expire
// is for the flows that see no more packets. A record's First and Last are the earliest and the latest of its packets.
// A step of the clock backwards ages nothing: a span below zero counts as zero, and is counted. A flow that such a step
// left in the future is given a fresh wait, so that none stays for ever.
package flowtable
