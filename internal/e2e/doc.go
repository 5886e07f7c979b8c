// Package e2e holds no code but tests: the two programs as they are shipped, real kernel rings behind a mirror port, a real
// InfluxDB, and traffic whose every packet is known.
package e2e
