// Package wire turns a batch of flow records into the plaintext of a datagram and back. It knows no socket and no key:
// seal makes a datagram of the plaintext.
//
// The sensor's exporter encodes (FlowsEncoder, DNSEncoder, ReportEncoder), the collector's ingest parses (ParseHeader, then
// Parse) and answers (AppendAnswer, ParseAnswer). Nothing here keeps a goroutine or needs closing. An encoder and a
// flow.Batch belong to one goroutine at a time; the functions may be called from any.
//
// # Header
//
// Every plaintext begins with the same header. Its layout and the kinds are fixed: they are the same in every version,
// so that a peer of another version can still be told from whom a datagram comes and be answered.
//
//	octet 0       1       2       3       4       5         5+n           13+n          21+n
//	      +-------+-------+-------+-------+-------+---------+-------------+-------------+--------
//	      |  'f'     's'  |version| kind  |   n   | id ...  | boot        | tx          | body ...
//	      +-------+-------+-------+-------+-------+---------+-------------+-------------+--------
//	                                               n octets    8 octets      8 octets
//
//	version  of the bodies' coding: Version
//	kind     Flows, Report, Ack, DNS or Probe
//	n, id    the sensor's id, 1 to 63 octets: the one outside the token, in either direction
//	boot     the sender's start, ns since the Unix epoch, big endian
//	tx       the sender's count of datagrams within that boot, big endian: +1 for every datagram, resends too
package wire
