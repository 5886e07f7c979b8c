package status

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
)

// Options of Task.
type Options struct {
	// Socket is what the configuration says: Auto, a path, or "" for none.
	Socket string
	// Program and Config tell where Auto is.
	Program, Config string
	Log             *slog.Logger
	// Handle gives the server what to answer.
	Handle func(*Server)
}

// Task makes the socket at once and gives what serves it until ctx ends, and then removes it. A daemon without its socket
// does its work all the same: what goes wrong is logged.
func Task(ctx context.Context, o Options) func() {
	path := o.Socket
	switch path {
	case "":
		return func() {}
	case Auto:
		path = Own(o.Program, o.Config)
	}
	server, err := Listen(path)
	if o.Socket == Auto && errors.Is(err, fs.ErrNotExist) {
		o.Log.Info("no status socket: systemd makes its directory, nobody else does; status.socket may name another place", "socket", path)
		return func() {}
	}
	if err != nil {
		o.Log.Warn("no status socket: all else works, but the status command has nothing to ask", "err", err)
		return func() {}
	}
	o.Handle(server)
	return func() {
		if err := server.Run(ctx); err != nil {
			o.Log.Warn("the status socket failed", "socket", path, "err", err)
		}
		if err := server.Close(); err != nil {
			o.Log.Warn("the status socket was not removed", "socket", path, "err", err)
		}
	}
}
