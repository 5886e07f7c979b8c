// Package daemon is the frame both daemons run in: logging, signals, systemd's notifications and watchdog, and the
// loopback page with metrics and health.
//
// It knows nothing of flows. Run drives one Service through its life: start, ready, reload on SIGHUP, stop on SIGTERM or SIGINT
// within a bound. Liveness is counted, not asserted: every worker owns a Beat and a Monitor says which of them stopped.
package daemon
