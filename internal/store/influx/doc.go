// Package influx writes line protocol to the write API of InfluxDB: /write of 1.x, /api/v2/write of 2.x (and 1.8), and
// /api/v3/write_lp of 3.x.
//
// store.Pool calls Writer.Write and Writer.Check from several goroutines; Reload may run beside them. The opener closes
// the Writer after the last call. Only status 204 counts as success: it says that every line is durable. What any other
// answer means for the lines is decided in answer.go alone. Passwords and tokens come from files, go out in the
// Authorization header and stand in no error, log line or URL. Environment variables for proxies are ignored, redirects
// are not followed.
package influx
