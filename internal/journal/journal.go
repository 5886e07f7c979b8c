package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowsensor/internal/setting"
)

// Names in JetStream.
const (
	streamName    = "FLOWS"
	bucketName    = "flows" // its stream is KV_flows
	subjectPrefix = "flows."
	subjects      = subjectPrefix + "*"
)

// Outcome says what became of a batch that Append took.
type Outcome uint8

// The outcomes. The zero value is invalid.
const (
	_ Outcome = iota
	// Durable: the batch stands in the journal.
	Durable
	// Unknown: the end came first. The batch may stand in the journal or not; the sensor has to send it again.
	Unknown
)

const (
	// tendPeriod is how often depth and age are read.
	tendPeriod = time.Second
	// callTimeout bounds one request to JetStream.
	callTimeout = 5 * time.Second
	// clusterPatience is how long a publish waits for an answer of a cluster before it is repeated under the same id: a
	// node that dies answers nothing.
	clusterPatience = 2 * time.Second
	// duplicates is how long JetStream knows the ids of messages: a publish that was not answered is repeated under its id.
	duplicates = 2 * time.Minute
)

// Journal is the connection to JetStream, with the server itself when that is embedded. It must be closed.
type Journal struct {
	cfg    Config
	log    *slog.Logger
	server *embedded // nil with an external cluster
	conn   *nats.Conn
	js     jetstream.JetStream

	stop       context.CancelFunc
	background sync.WaitGroup // for tend

	ready chan struct{} // closed once stream and bucket are there
	store atomic.Pointer[storage]
	state atomic.Pointer[state]

	repair chan struct{} // asks tend to start the embedded server again

	up   atomic.Bool               // JetStream answered when it was asked last
	said atomic.Pointer[complaint] // what the connection complained of last
}

// complaint is what went wrong on the connection, which the calls that fail for it do not say: they are not answered.
type complaint struct {
	err error
	at  time.Time
}

// Open starts the embedded server, or connects to the cluster: that one may be away, it is waited for in the background.
func Open(cfg Config, log *slog.Logger) (*Journal, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{cfg: cfg, log: log, ready: make(chan struct{}), repair: make(chan struct{}, 1)}
	j.state.Store(&state{})
	if err := j.open(); err != nil {
		return nil, fmt.Errorf("journal: %w", errors.Join(err, j.release()))
	}
	ctx, stop := context.WithCancel(context.Background())
	j.stop = stop
	if cfg.URL == "" {
		if err := j.prepare(ctx); err != nil {
			stop()
			return nil, fmt.Errorf("journal: %w", errors.Join(err, j.release()))
		}
	}
	j.background.Go(func() { j.tend(ctx) })
	return j, nil
}

func (j *Journal) open() (err error) {
	options := []nats.Option{
		nats.Name("flow-collector"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectBufSize(-1),
		// A cluster that refuses our credentials is asked on and on: by default the client gives up for good after two refusals,
		// and accounts are mended at the servers too.
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { j.complain(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			j.complain(err)
			j.log.Debug("journal connection", "error", err)
		}),
	}
	if j.cfg.URL == "" {
		if j.server, err = openEmbedded(j.cfg, j.log); err != nil {
			return err
		}
		options = append(options, nats.InProcessServer(j.server))
	} else {
		external, err := j.cfg.options(j.log)
		if err != nil {
			return err
		}
		options = append(options, external...)
	}
	if j.conn, err = nats.Connect(j.cfg.URL, options...); err != nil {
		return err
	}
	j.js, err = jetstream.New(j.conn, jetstream.WithDefaultTimeout(callTimeout))
	return err
}

// options are those for an external cluster.
func (c *Config) options(log *slog.Logger) ([]nats.Option, error) {
	options := []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil is our own Close
				log.Warn("the connection to the journal is lost, trying again", "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { log.Info("connected to the journal again", "server", c.ConnectedUrlRedacted()) }),
	}
	if c.CredentialsFile != "" {
		info, err := os.Stat(c.CredentialsFile)
		if err != nil {
			return nil, setting.KeyError{Key: "credentials_file", Err: err}
		}
		if info.Mode().Perm()&0o007 != 0 {
			return nil, setting.Errorf("credentials_file", "%s can be used by every user of this machine: chmod o-rwx", c.CredentialsFile)
		}
		options = append(options, nats.UserCredentials(c.CredentialsFile))
	}
	if c.TLS.CAFile != "" {
		options = append(options, ofKey("ca_file", nats.RootCAs(c.TLS.CAFile)))
	}
	if c.TLS.CertFile != "" {
		options = append(options, ofKey("cert_file", nats.ClientCert(c.TLS.CertFile, c.TLS.KeyFile)))
	}
	return options, nil
}

// ofKey has an option that refuses its file say so by the key that names it.
func ofKey(key string, option nats.Option) nats.Option {
	return func(o *nats.Options) error {
		if err := option(o); err != nil {
			return setting.KeyError{Key: key, Err: err}
		}
		return nil
	}
}

// CheckFiles reads the files of secrets and certificates, and names the first that cannot be used, by a setting.KeyError. c is
// one that Validate has no word against.
func (c Config) CheckFiles() error {
	if c.URL == "" {
		return nil
	}
	options, err := c.options(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var taken nats.Options
	for _, option := range options {
		if err := option(&taken); err != nil {
			return err
		}
	}
	return nil
}

// tend prepares JetStream where that is still to do, reads depth and age, and starts the embedded server again when it is
// asked to.
func (j *Journal) tend(ctx context.Context) {
	ticker := time.NewTicker(tendPeriod)
	defer ticker.Stop()
	use, restart := trouble{log: j.log}, trouble{log: j.log}
	broken := false // the embedded server
	var repaired time.Time
	for {
		if broken {
			err := j.restartServer()
			restart.is(err, "the journal's server does not answer and cannot be started again; trying on", "the journal's server runs again")
			if err == nil {
				broken, repaired = false, time.Now()
			}
		}
		err := j.look(ctx)
		if errors.Is(err, errNotPrepared) || errors.Is(err, jetstream.ErrStreamNotFound) {
			if err = j.prepare(ctx); err == nil {
				err = j.look(ctx)
			}
		}
		if ctx.Err() != nil {
			return
		}
		j.up.Store(err == nil)
		use.is(j.explain(err), "the journal cannot be used", "the journal can be used again")
		select {
		case <-ticker.C:
		case <-j.repair:
			// Calls that were under way while it was started again are not answered either.
			broken = time.Since(repaired) > 2*callTimeout
		case <-ctx.Done():
			return
		}
	}
}

func (j *Journal) complain(err error) { j.said.Store(&complaint{err: err, at: time.Now()}) }

// explain adds to the error of a call what the connection complained of lately: credentials, certificates, addresses.
func (j *Journal) explain(err error) error {
	said := j.said.Load()
	if err == nil || said == nil || time.Since(said.at) > 2*callTimeout {
		return err
	}
	return fmt.Errorf("%w: %w", err, said.err)
}

var errNotPrepared = errors.New("the journal is not prepared yet")

// look reads the stream's state.
func (j *Journal) look(ctx context.Context) error {
	s := j.store.Load()
	if s == nil {
		return errNotPrepared
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := s.stream.Info(ctx)
	if err != nil {
		return err
	}
	next := &state{
		messages: info.State.Msgs, bytes: info.State.Bytes, last: info.State.LastSeq, max: info.Config.MaxBytes,
	}
	if info.State.Msgs > 0 {
		next.oldest = info.State.FirstTime
	}
	j.state.Store(next)
	return nil
}

// state is what look saw last.
type state struct {
	messages, bytes uint64
	last            uint64
	max             int64
	oldest          time.Time // of the first message; zero where there is none
}

// askRepair asks for a new start of the embedded server when it did not answer. With an external cluster it does nothing.
func (j *Journal) askRepair(err error) {
	if j.server == nil || !errors.Is(err, context.DeadlineExceeded) {
		return
	}
	select {
	case j.repair <- struct{}{}:
	default:
	}
}

// restartServer gives nil when the server runs again.
func (j *Journal) restartServer() error {
	if err := j.server.restart(); err != nil {
		return err
	}
	j.log.Warn("the journal's server did not answer; it was started again")
	_ = j.conn.ForceReconnect() // an error means that it is connecting already
	return nil
}

// wait returns once stream and bucket are there.
func (j *Journal) wait(ctx context.Context) error {
	select {
	case <-j.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the connection and the embedded server. Appender and Reader must have ended.
func (j *Journal) Close() error {
	j.stop()
	j.background.Wait()
	if err := j.release(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (j *Journal) release() error {
	if j.conn != nil {
		j.conn.Close()
	}
	if j.server != nil {
		return j.server.close()
	}
	return nil
}

// trouble logs when something begins to go wrong, changes, and is over. Not safe for concurrent use.
type trouble struct {
	log  *slog.Logger
	text string
}

func (t *trouble) is(err error, begin, end string) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == t.text {
		return
	}
	if err == nil {
		t.log.Info("trouble is over", "trouble", begin, "now", end)
	} else {
		t.log.Warn("trouble", "trouble", begin, "error", err)
	}
	t.text = text
}
