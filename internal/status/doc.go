// Package status is how a running daemon tells those who may ask how it does: HTTP with JSON over a unix socket.
//
// The daemon's assembly calls Listen, gives the server what to answer (Handle), runs it and closes it at its end; the
// commands that ask use a Client. It knows nothing of flows: each answer begins with a Head, the rest is its daemon's. Whoever may
// write to the socket may ask, its owner and its group; nothing can be changed by it. A Server's handlers are called from any
// goroutine; a Client belongs to one.
package status
