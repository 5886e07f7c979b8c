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

// The traps of TPACKET_V3, and where each is met:
//
//	several sockets, copies of one packet at start    openGroup, afpacketEngine.settle
//	packets of other interfaces before the bind       openAFPacket; ringEngine binds behind its filter
//	group ids that other programs use                 fanout.join
//	fragments without ports, MPLS on one worker       steerProgram
//	what a fanout program sees is not the frame       steerProgram
//	POLLERR for ever after a link was down            Ring.Walk, takeError
//	interface replaced under its name, or its index   Tap.look, boundTo
//	unmapping under a reader, or by a finalizer       Ring.walking; a ring refers to its engine for as long as it reads
//	poll that never returns on an idle link           pollWait
//	poll that returns at once without a block         ringEngine.walk; gopacket gives a block back before it polls, too
//	block status without memory barriers              blocks; of gopacket, see afpacketEngine
//	one block kept stops the ring                     Walk hands over one block a call; visit must not block
//	blocks retired late, or by a coarse timer         nothing is timed by their coming; drained is what the counts say
//	no end of a block in gopacket's interface         afpacketEngine.frames
//	counts of 32 bits, reset by reading, with drops   takeCounts, Ring.readCountsLocked
//	packets lost before any ring                      Tap.Counters, Stats.Down
//	tags taken off: bytes, length, BPF offsets        blocks.walk, compileLive
//	merged segments                                   setVnet; Offloads where that is not to be had
//	outgoing copies, own traffic                      buildFilter, excludeProgram, Tap.SetExclude
//	loads behind a packet's end in a filter           excludeProgram
//	a sample by every Nth packet                      sampleProgram: by chance, or traffic in step with it would fool it
//	geometry: sizes, frames longer than a block       Config.Validate
//	memory that is not there                          CheckMemory
//	promiscuity that is not taken, or not given back  holdPromiscuous
//	descriptors that a started program inherits       openAFPacket
//	hardware stamps that drift                        not asked for: the stamps are the kernel's, of the system clock
//
// Defragmenting in the kernel (PACKET_FANOUT_FLAG_DEFRAG) would change the packets that are counted. A worker that no longer
// walks is for the daemon's watchdog.
