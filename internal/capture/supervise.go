package capture

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// lookInterval is how often the supervisor looks at the link and the counts without being told to.
const lookInterval = time.Second

// supervise keeps the tap alive: it reads the counts before they wrap, and when the interface has been replaced it has
// the rings closed by their readers and opens new ones, all together. Netlink tells it when to look; what it acts on is
// what it sees then, so a message that is lost costs a second at most.
func (t *Tap) supervise(ctx context.Context, watch *linkWatch) {
	defer t.supervisor.Done()
	defer func() { watch.stop() }()
	if err := enter(t.home); err != nil {
		t.log.Warn("an interface that is made again will not be found", "error", err)
	}
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.ringEnded:
		case <-tick.C:
			if watch == nil {
				watch = t.watchAgain()
			}
		case update, ok := <-watch.channel():
			if !ok {
				watch.stop()
				watch = nil
			} else if !t.concerns(update) {
				continue
			}
			t.lookAtOffloads()
		}
		t.look(ctx)
	}
}

// enter puts the goroutine's thread into a network namespace, for the sockets that it opens. Where it is there already,
// as in a daemon, this does nothing and needs no privilege; else the thread ends with the goroutine.
func enter(home netns.NsHandle) error {
	if !home.IsOpen() {
		return nil
	}
	runtime.LockOSThread()
	here, err := netns.Get()
	if err != nil {
		return fmt.Errorf("open the network namespace: %w", err)
	}
	same := here.Equal(home)
	if err := here.Close(); err != nil {
		return fmt.Errorf("close the network namespace: %w", err)
	}
	if same {
		runtime.UnlockOSThread()
		return nil
	}
	if err := netns.Set(home); err != nil {
		return fmt.Errorf("enter the network namespace of the capture: %w", err)
	}
	return nil
}

// concerns reports whether a message is about the interface, by its old index or its name.
func (t *Tap) concerns(update netlink.LinkUpdate) bool {
	attrs := update.Attrs()
	t.mu.Lock()
	defer t.mu.Unlock()
	return attrs.Index == t.dev.index || attrs.Name == t.cfg.Interface
}

func (t *Tap) lookAtOffloads() {
	now := t.ethtool.offloads(t.cfg.Interface)
	t.mu.Lock()
	before := t.offloads
	t.offloads = now
	t.mu.Unlock()
	t.warnOffloads(before, now)
}

// look takes the counts, notes the state of the link, and does what it makes necessary.
func (t *Tap) look(ctx context.Context) {
	for _, r := range t.rings {
		r.stats()
	}
	dev, err := lookUp(t.handle, t.cfg.Interface)
	if err != nil && !errors.Is(err, ErrNoInterface) {
		t.complain("cannot look at the interface", err)
		return
	}
	switch attached, lost := t.note(dev); {
	case lost:
		t.letGo()
	case !attached && dev.state >= LinkNoCarrier && t.idle() && !t.isStopped():
		t.reattach(ctx, dev)
	}
}

// note keeps the state of the link. It says whether the rings are bound to an interface, and whether that one is lost to
// them: unregistered, or no longer the one of the name.
func (t *Tap) note(dev device) (attached, lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.countDownLocked()
	before := t.dev
	if t.attached {
		dev, lost = t.compareLocked(dev)
	}
	if lost || dev.index == 0 {
		dev.index = before.index // stays what was last captured on
	}
	t.dev = dev
	if lost {
		t.dev.state = LinkMissing
	}
	if t.dev.state != before.state {
		t.log.Info("link state changed", "link", t.dev.state, "was", before.state)
	}
	return t.attached, lost
}

// countDownLocked adds the time since the last look to the time without a capture, where it was that.
func (t *Tap) countDownLocked() {
	now := t.now()
	t.down += t.blindLocked(now)
	t.seen = now
}

// blindLocked is how long nothing was received since the last look.
func (t *Tap) blindLocked(now time.Time) time.Duration {
	unbound := !t.attached && !t.stopped
	if t.seen.IsZero() || t.dev.state == LinkUp && !unbound {
		return 0
	}
	return now.Sub(t.seen)
}

// compareLocked says whether the rings have lost their interface, and gives the state of the one they are bound to.
func (t *Tap) compareLocked(named device) (dev device, lost bool) {
	for _, r := range t.rings {
		if index, err := r.boundTo(); err != nil || index != t.dev.index {
			return named, true
		}
	}
	if named.index == t.dev.index {
		t.renamed = false
		return named, false
	}
	if named.index != 0 {
		return named, true // another one has the name now
	}
	// The name is gone, the interface is not: it was renamed, and is still the one to capture on.
	link, err := t.handle.LinkByIndex(t.dev.index)
	if err != nil {
		return named, false // it is just going: the next look will tell
	}
	if !t.renamed {
		t.renamed = true
		t.log.Warn("the interface was renamed: capture goes on until another one has its name", "name", link.Attrs().Name)
	}
	return deviceOf(link.Attrs()), false
}

// letGo has the rings closed by their readers.
func (t *Tap) letGo() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	t.log.Warn("the interface is gone: capture resumes when it is back", "if_index", t.dev.index)
	err := errors.Join(t.endRingsLocked(phaseRunning), t.holder.release())
	t.holder = nil
	if err != nil {
		t.log.Warn("letting go of the interface", "error", err)
	}
}

// idle reports whether every reader has closed its engine.
func (t *Tap) idle() bool {
	for _, r := range t.rings {
		if !r.idle() {
			return false
		}
	}
	return true
}

// reattach opens the rings on the interface that has the name now. It is tried again at the next look when it fails.
func (t *Tap) reattach(ctx context.Context, dev device) {
	err := CheckMemory(t.cfg)
	if err == nil {
		err = t.attach(ctx, dev)
	}
	if errors.Is(err, errStopped) {
		return
	}
	if err != nil {
		t.complain("cannot resume the capture, trying again", err)
		return
	}
	t.complaint = ""
	t.mu.Lock()
	t.reopened++
	t.mu.Unlock()
	t.log.Info("capture resumed", "if_index", dev.index)
}

// complain logs an error of something that is tried again each second: once, as long as it is the same.
func (t *Tap) complain(doing string, err error) {
	if text := doing + err.Error(); text != t.complaint {
		t.complaint = text
		t.log.Warn("supervising the interface", "doing", doing, "error", err)
	}
}

// linkWatch receives the kernel's messages on links.
type linkWatch struct {
	updates chan netlink.LinkUpdate
	done    chan struct{}
}

// watchLinks subscribes in the network namespace of the calling thread.
func watchLinks() (*linkWatch, error) {
	w := &linkWatch{updates: make(chan netlink.LinkUpdate, 16), done: make(chan struct{})}
	if err := netlink.LinkSubscribe(w.updates, w.done); err != nil {
		return nil, fmt.Errorf("watch the links: %w", err)
	}
	return w, nil
}

// channel is closed when the subscription fails, as when messages were lost. A nil watch has no messages.
func (w *linkWatch) channel() <-chan netlink.LinkUpdate {
	if w == nil {
		return nil
	}
	return w.updates
}

// stop ends the subscription and waits for its goroutine.
func (w *linkWatch) stop() {
	if w == nil {
		return
	}
	close(w.done)
	for range w.updates { // its goroutine may be about to send, and must not stay
	}
}

func (t *Tap) watchAgain() *linkWatch {
	watch, err := watchLinks()
	if err != nil {
		t.log.Warn("cannot watch the links, looking each second", "error", err)
		return nil
	}
	return watch
}
