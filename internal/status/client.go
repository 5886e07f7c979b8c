package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

const (
	// patience is how long an answer may take.
	patience = 10 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 20
)

// Client asks the daemon that has a socket. Make one with NewClient, and close it.
type Client struct {
	path string
	http http.Client
}

// NewClient makes a client of the daemon whose socket is at path; it connects when it asks.
func NewClient(path string) *Client {
	var d net.Dialer
	return &Client{path: path, http: http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
		MaxIdleConns:    1,
		IdleConnTimeout: time.Minute,
	}}}
}

// Get asks for a target and reads the answer into v. An answer of another version is refused.
func (c *Client) Get(ctx context.Context, target string, v any) error {
	text, err := c.Raw(ctx, target)
	if err != nil {
		return err
	}
	var head Head
	if err := json.Unmarshal(text, &head); err != nil {
		return fmt.Errorf("%s: the answer cannot be read: %w", c.path, err)
	}
	if head.Version != Version {
		return fmt.Errorf("%s: the daemon (%s %s) answers in version %d, this program reads %d: use the program of the daemon's build",
			c.path, head.Program, head.Build, head.Version, Version)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: the answer cannot be read: %w", c.path, err)
	}
	return nil
}

// Raw asks for a target and gives the answer as it came.
func (c *Client) Raw(ctx context.Context, target string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://socket"+target, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.explain(err)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", c.path, strings.TrimSpace(string(text)))
	}
	return text, nil
}

// explain says what to do about a socket that cannot be asked.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no daemon answers at %s: is the service running? (--socket names another)", c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: permission denied: ask as root or as a member of the service's group", c.path)
	default:
		return fmt.Errorf("%s: %w", c.path, err)
	}
}

// Close lets go of the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }
