package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"flowsensor/internal/frame"
)

// Tap captures on one interface. See the package's contract.
type Tap struct {
	cfg     Config // with defaults
	log     *slog.Logger
	now     func() time.Time
	rings   []*Ring
	handle  *netlink.Handle
	ethtool *ethtool
	vnet    vnetPolicy
	fanout  fanout
	home    netns.NsHandle // of the thread that opened the tap; closed when it is not known

	cancel     context.CancelFunc // ends the supervisor
	ringEnded  chan struct{}      // a ring has closed its engine
	supervisor sync.WaitGroup
	complaint  string // of the supervisor, the last one

	mu       sync.Mutex // guards all below
	dev      device
	link     frame.LinkType
	user     *userFilter // nil until the first engines are in
	exclude  []Exclusion
	holder   *promiscuityHolder
	offloads Offloads
	attached bool // the rings have engines that are bound to dev
	stopped  bool
	closed   bool
	reopened uint64
	down     time.Duration
	seen     time.Time // of the last look at the link
	renamed  bool
}

// Open starts capturing on an interface, or does nothing at all. It refuses rings that the memory does not bear; the rings
// of several interfaces together are for CheckMemory. An interface that is down is no error, unless there are several workers and
// the kernel is of those that take only interfaces which are up into a fanout group. The context bounds Open,
// not the tap. A nil logger logs nothing.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Tap, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	cfg.Filter = strings.TrimSpace(cfg.Filter)
	if err := CheckMemory(cfg); err != nil {
		return nil, err
	}
	share, err := newFanout(cfg.Fanout)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Tap{
		cfg: cfg, log: log.With("interface", cfg.Interface), now: time.Now, home: netns.None(),
		ringEnded: make(chan struct{}, 1), exclude: cfg.Exclude, vnet: vnetFor(cfg.Engine), fanout: share,
	}
	for range cfg.Workers {
		t.rings = append(t.rings, newRing(t.ringEnded))
	}
	if err := t.open(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Tap) open(ctx context.Context) (err error) {
	if err := checkPrivilege(); err != nil {
		return err
	}
	if t.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("ask the kernel for its interfaces: %w", err)
	}
	if t.ethtool, err = openEthtool(); err != nil {
		return err
	}
	if home, err := netns.Get(); err == nil {
		t.home = home
	}
	dev, err := lookUp(t.handle, t.cfg.Interface)
	if errors.Is(err, ErrNoInterface) {
		return missingInterface(t.handle, t.cfg.Interface)
	}
	if err != nil {
		return err
	}
	watch, err := watchLinks()
	if err != nil {
		return err
	}
	if err := t.attach(ctx, dev); err != nil {
		watch.stop()
		return err
	}
	t.log.Info("capturing", "if_index", dev.index, "link", dev.state, "link_type", t.link, "engine", t.cfg.Engine,
		"workers", t.cfg.Workers, "fanout", t.cfg.Fanout, "ring_mib", t.cfg.RingSize>>20, "snap_length", t.cfg.SnapLength,
		"sample", t.cfg.Sample)
	t.warnOffloads(Offloads{}, t.offloads)
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.cancel = cancel
	t.supervisor.Add(1) // for supervise
	go t.supervise(life, watch)
	return nil
}

// attach opens the rings on dev and lets frames in.
func (t *Tap) attach(ctx context.Context, dev device) (err error) {
	user, err := t.compile(ctx, dev)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("open %s: %w", dev.name, err)
	}
	group, err := openGroup(engineSpec{dev: dev, cfg: t.cfg, vnet: t.vnet, fanout: t.fanout})
	if err != nil {
		return err
	}
	var holder *promiscuityHolder
	defer func() {
		if err != nil {
			closeAll(group)
			err = errors.Join(err, holder.release())
		}
	}()
	if t.cfg.Promiscuous == PromiscuousOn {
		if holder, err = holdPromiscuous(t.handle, dev); err != nil {
			return err
		}
	}
	if now, err := lookUp(t.handle, dev.name); err == nil && now.index == dev.index {
		dev = now // with the promiscuity just taken
	}
	return t.install(group, dev, user, holder)
}

// install lets frames into the engines and hands them to the rings, unless the tap has been stopped meanwhile.
func (t *Tap) install(group []engine, dev device, user *userFilter, holder *promiscuityHolder) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return errStopped
	}
	filter, err := t.filterLocked(user)
	if err != nil {
		return err
	}
	for _, e := range group {
		if err := setFilter(e.fd(), filter); err != nil {
			return fmt.Errorf("interface %s: %w", dev.name, err)
		}
	}
	for i, e := range group {
		t.rings[i].install(e, user.link)
	}
	t.countDownLocked() // to open them may have taken long
	t.dev, t.link, t.user, t.holder, t.attached = dev, user.link, user, holder, true
	t.offloads = t.ethtool.offloads(dev.name)
	return nil
}

var errStopped = errors.New("the capture was stopped")

// warnOffloads says when the interface begins to merge packets and nothing tells how many there were.
func (t *Tap) warnOffloads(before, now Offloads) {
	if now.Merging() && !before.Merging() && !bool(t.vnet) {
		t.log.Warn("the interface merges received packets before they are captured: packet counts are of merged packets",
			"gro", now.GRO, "lro", now.LRO, "remedy", now.Remedy(t.cfg.Interface))
	}
}

// Workers is the number of rings.
func (t *Tap) Workers() int { return len(t.rings) }

// Ring gives worker i's ring, for i below the configuration's Workers.
func (t *Tap) Ring(i int) *Ring { return t.rings[i] }

// StopTraffic lets no more frames in. What is in the rings is still to be walked, until Walk says io.EOF.
func (t *Tap) StopTraffic() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return nil
	}
	t.stopped = true
	return t.endRingsLocked(phaseStopped)
}

// endRingsLocked makes the readers close their engines once they are read. Nothing is added to a ring after that, so the
// kernel's count is final.
func (t *Tap) endRingsLocked(then phase) error {
	var errs []error
	if t.attached {
		for _, r := range t.rings {
			errs = append(errs, r.setFilter(rejectAll()))
		}
		quiesce()
	}
	for _, r := range t.rings {
		r.end(then)
	}
	t.attached = false
	return errors.Join(errs...)
}

// isStopped reports whether no more frames are to come in.
func (t *Tap) isStopped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stopped
}

// Close ends the capture, waiting for readers to leave Walk. It may be called more than once.
func (t *Tap) Close() error {
	t.mu.Lock()
	closed := t.closed
	t.closed = true
	t.mu.Unlock()
	if closed {
		return nil
	}
	errs := []error{t.StopTraffic()}
	if t.cancel != nil {
		t.cancel()
	}
	t.supervisor.Wait()
	for _, r := range t.rings {
		errs = append(errs, r.close())
	}
	errs = append(errs, t.holder.release())
	if t.handle != nil {
		t.handle.Close()
	}
	if t.ethtool != nil {
		errs = append(errs, t.ethtool.close())
	}
	if t.home.IsOpen() {
		errs = append(errs, t.home.Close())
	}
	return errors.Join(errs...)
}
