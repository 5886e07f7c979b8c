// Package files keeps line protocol in a directory of files: the store of a collector without a database.
//
// store.Pool calls Writer.Write and Writer.Check from several goroutines; the opener closes the Writer after the last
// call. One process at a time has a directory, held by a lock.
//
// A file is called flows-<UTC time>-<n>.lp, so that names sort by age. It carries .part at its end while it grows and
// loses it when it is complete: because of its size, its age, on Close, or when the next process finds it. Every write
// is synced before it succeeds, so every line that was reported durable is in a file after a crash; what a crash left of
// a line is cut at the next start, and a write that fails half-way (a full disk) is taken back. A complete file may be
// moved, compressed or deleted at any time. With Gzip it is compressed in the background and then called .lp.gz.
//
// The files are what the database's tools take. A comment at their head serves the first of these, the others skip it:
//
//	influx -import -path=FILE.lp -precision=ns         (1.x; with -compressed for .gz)
//	curl --data-binary @FILE.lp 'http://HOST:8086/write?db=flows&precision=ns'
//	influx write --bucket flows --precision ns --file FILE.lp
//	influxdb3 write --database flows --precision ns --file FILE.lp
package files
