// Package influxtest starts real InfluxDB 1.x servers for tests and for the demonstration, and asks them what they hold.
//
// It depends on nothing of testing and returns errors; ForTest and WithDatabase give them to a test. A Server keeps all it writes below one directory that the caller
// gives and removes, listens on loopback ports that the system chooses, and has to be stopped by its starter; should the
// starter die, it dies too. Its methods are not safe for concurrent use with Start and Stop.
package influxtest
