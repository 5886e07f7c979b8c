// Package seal turns plaintext into a datagram and back: "id SP token", where the id names the sensor and with it the
// keys, and the token is Fernet (github.com/fernet/spec): made here with keys that are set up once, opened by
// github.com/fernet/fernet-go. It knows nothing of flows.
//
// The sensor's exporter seals, the collector's ingest opens; answers go the other way with the same key. A Sealer and an
// Opener are immutable and safe for concurrent use; a Window and a Boots belong to one goroutine. Nothing here needs
// closing. No secret ever stands in an error, a log line or formatted output.
//
// Fernet leaves three things to its users, and this package does them:
//   - time: the library's own checks are off. The authenticated stamp is judged against the receive time that the caller
//     hands in (Limits).
//   - replay: a token can be copied, and its base64 re-coded. Replay is judged on authenticated content: the boot and tx
//     numbers of the plaintext (Boots, Window).
//   - junk: the library verifies whatever it is given, and panics on some authenticated tokens. The shape is checked
//     before, exactly.
package seal
