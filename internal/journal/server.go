package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// startTimeout bounds the server's start once its files are read.
	startTimeout = 10 * time.Second
	// maxPayload of the embedded server: a checkpoint of many sensors is the longest message.
	maxPayload = 8 << 20
	// bucketSize bounds the checkpoints and leases in the embedded server.
	bucketSize = 64 << 20
	// noLimit leaves it to the streams: they are bounded each, also while an old bound is being lowered.
	noLimit = 1 << 50
	// accountDir is where the server keeps the streams of its only account, below its directory.
	accountDir = "jetstream/$G/streams"
)

var (
	errStopped = errors.New("the journal's server does not run")
	errStart   = errors.New("the journal's server does not start")
)

// embedded is the NATS server in this process: no socket, a file store, every message synced before it is acknowledged.
// It can be started again under its clients, which connect anew through InProcessConn.
type embedded struct {
	cfg  Config
	log  *slog.Logger
	lock *os.File

	mu     sync.Mutex // protects server, held while one is started or stopped
	server *server.Server
}

// openEmbedded makes and locks the directory and starts a server there. Files that it cannot use are set aside.
func openEmbedded(cfg Config, log *slog.Logger) (*embedded, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := checkFormat(cfg.Dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	e := &embedded{cfg: cfg, log: log, lock: lock}
	if err := e.start(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return e, nil
}

// lockDir keeps a second process out of the directory.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("in use by another running collector: give each its own")
		}
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return f, nil
}

// InProcessConn gives a client a connection to the server that runs at the moment.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return nil, errStopped
	}
	return e.server.InProcessConn()
}

// start starts the server and sets aside what it cannot read: a stream that does not come up, or, when the server does
// not come up at all, everything.
func (e *embedded) start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.writable(); err != nil {
		return err // no damage: nothing is set aside for it
	}
	if err := e.inspect(); err != nil {
		return err
	}
	// The consumers' files are of no use: each session makes its consumer anew.
	if err := os.RemoveAll(filepath.Join(e.cfg.Dir, accountDir, streamName, "obs")); err != nil {
		return err
	}
	const attempts = 3
	for attempt := 1; ; attempt++ {
		err := e.startOnceLocked()
		if err == nil {
			return nil
		}
		if attempt == attempts {
			return err
		}
		e.log.Error("the journal's server does not start with its files", "error", err)
		below, names := "", []string{"jetstream"}
		if unreadable, ok := errors.AsType[unreadableError](err); ok {
			below, names = accountDir, unreadable
		}
		if moved := e.setAside(below, names); moved != nil {
			return errors.Join(err, moved)
		}
	}
}

// unreadableError names streams that have files and did not come up.
type unreadableError []string

func (e unreadableError) Error() string { return "streams cannot be read: " + strings.Join(e, ", ") }

// writable tells a full disk or a wrong owner from damage.
func (e *embedded) writable() error {
	probe := filepath.Join(e.cfg.Dir, ".probe")
	err := os.WriteFile(probe, make([]byte, 4096), 0o600)
	return errors.Join(err, os.Remove(probe))
}

func (e *embedded) startOnceLocked() error {
	s, err := server.NewServer(&server.Options{
		ServerName: "flow-collector", DontListen: true, NoSigs: true, MaxPayload: maxPayload,
		JetStream: true, StoreDir: e.cfg.Dir, SyncAlways: true, DisableJetStreamBanner: true,
		JetStreamMaxStore: noLimit, JetStreamMaxMemory: 1 << 20,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errStart, err)
	}
	s.SetLogger(serverLog{e.log}, false, false)
	s.Start()
	if !s.ReadyForConnections(startTimeout) || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return errStart
	}
	e.server = s
	missing, err := e.missingLocked()
	if err == nil && len(missing) > 0 {
		err = unreadableError(missing)
	}
	if err != nil {
		e.stopLocked()
	}
	return err
}

// missingLocked names the streams that have files and did not come up.
func (e *embedded) missingLocked() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(e.cfg.Dir, accountDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	info, err := e.server.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStart, err)
	}
	var up []string
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			up = append(up, stream.Name)
			if lost := stream.State.Lost; lost != nil {
				e.log.Error("the journal lost messages: its files are damaged", "stream", stream.Name, "messages", len(lost.Msgs),
					"bytes", lost.Bytes)
			}
		}
	}
	var missing []string
	for _, entry := range entries {
		if entry.IsDir() && !slices.Contains(up, entry.Name()) {
			missing = append(missing, entry.Name())
		}
	}
	return missing, nil
}

// aside makes a folder for what is set aside.
func (e *embedded) aside() (string, error) {
	dir := filepath.Join(e.cfg.Dir, "damaged", time.Now().UTC().Format("20060102T150405.000000000"))
	return dir, os.MkdirAll(dir, 0o700)
}

// setAside moves folders of the server out of its way.
func (e *embedded) setAside(below string, names []string) error {
	to, err := e.aside()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(e.cfg.Dir, below, name), filepath.Join(to, name)); err != nil {
			return err
		}
		e.log.Error("damaged journal files were set aside; what stood in them is not in the database", "stream", name, "folder", to)
	}
	return nil
}

// stopLocked ends the server and waits for its goroutines.
func (e *embedded) stopLocked() {
	if e.server == nil {
		return
	}
	e.server.Shutdown()
	e.server.WaitForShutdown()
	e.server = nil
}

// restart ends the server and starts it again: after a write error it answers nothing any more.
func (e *embedded) restart() error {
	if err := e.writable(); err != nil {
		return err // it would not come up
	}
	e.mu.Lock()
	e.stopLocked()
	e.mu.Unlock()
	return e.start()
}

// free is the room on the file system, in octets.
func (e *embedded) free() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(e.cfg.Dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", e.cfg.Dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// close ends the server and lets go of the directory.
func (e *embedded) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopLocked()
	return e.lock.Close()
}

// serverLog gives the server's words to the daemon's log; its notices are of no interest to an operator.
type serverLog struct{ log *slog.Logger }

const serverSays = "journal server"

func (l serverLog) Noticef(format string, v ...any) {
	l.log.Debug(serverSays, "text", fmt.Sprintf(format, v...))
}

func (l serverLog) Warnf(format string, v ...any) {
	l.log.Warn(serverSays, "text", fmt.Sprintf(format, v...))
}

func (l serverLog) Errorf(format string, v ...any) {
	l.log.Error(serverSays, "text", fmt.Sprintf(format, v...))
}

func (l serverLog) Fatalf(format string, v ...any) {
	l.log.Error(serverSays, "text", fmt.Sprintf(format, v...))
}
func (l serverLog) Debugf(string, ...any) {}
func (l serverLog) Tracef(string, ...any) {}
