package testnet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Program is a running program inside a Host. Its methods are safe for concurrent use. Who starts one ends it.
type Program struct {
	host *Host
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed once the program has ended
	err  error         // of its end; valid once done is closed
}

// Start starts a program inside the namespace; its output goes to a file. The program ends with ctx.
func (h *Host) Start(ctx context.Context, log, name string, args ...string) (*Program, error) {
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, err
	}
	cmd := h.Command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := errors.Join(cmd.Start(), out.Close()); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Program{host: h, name: filepath.Base(name), log: log, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the program's process id.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Done is closed once the program has ended.
func (p *Program) Done() <-chan struct{} { return p.done }

// Client speaks HTTP from inside the namespace.
func (h *Host) Client() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: h.Dial}}
}

// Await waits until url answers 200, as a program's health page does once it works.
func (p *Program) Await(ctx context.Context, url string) error {
	client := p.host.Client()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		if ok(ctx, client, url) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w; its log: %s", p.name, ctx.Err(), p.log)
		case <-p.done:
			return fmt.Errorf("%s ended: %w; its log: %s", p.name, p.err, p.log)
		case <-pause.C:
		}
	}
}

func ok(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// Signal sends a signal.
func (p *Program) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// Stop asks the program to end, with SIGTERM, and waits until it has; an exit status other than 0 is an error.
func (p *Program) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("%s does not stop: %w; its log: %s", p.name, ctx.Err(), p.log)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w; its log: %s", p.name, p.err, p.log)
	}
	return nil
}

// Kill ends the program at once, if it has not ended, and waits for that. A nil Program is ended already.
func (p *Program) Kill() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// State is how the program ended and what it used, with the children it waited for; nil before Done is closed.
func (p *Program) State() *os.ProcessState {
	select {
	case <-p.done:
		return p.cmd.ProcessState
	default:
		return nil
	}
}
