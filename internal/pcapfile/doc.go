// Package pcapfile reads capture files: pcap and pcapng, plain or gzipped, from a file or a pipe.
//
// The reading command calls it. One goroutine calls Walk, once; Stats, Interfaces and Progress may be called from any
// goroutine at any time. Who opens a Reader closes it; Close from another goroutine makes Walk end at its next read. A
// frame that Walk hands over is borrowed until the visiting function returns. What a file claims is never believed
// before it is there: memory is one buffer of 1 MiB and what the interface descriptions hold, whatever the lengths say.
//
// The formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng, read as libpcap and Wireshark read
// them. pcapgo is not used but in the tests: it copies each frame twice, gives up on files that both of those read (a
// captured length above the length on the wire, format versions before 2.4, the "modified" header), allocates for each
// comment on a packet, and cannot say where in the file an error lies.
package pcapfile
