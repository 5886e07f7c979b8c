package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Writer makes lines durable. Its methods are safe for concurrent use.
type Writer interface {
	// Write returns nil once every line is durable. Any error leaves open which lines are; an *Error says what may be
	// done about it, any other error is taken for a temporary one. The lines may not be kept after it returned.
	Write(ctx context.Context, lines Lines) error
	// Check tries whether a write would get through, without writing.
	Check(ctx context.Context) error
	// String names the place that is written to, without secrets.
	String() string
}

// Class says what to do with lines that were not written.
type Class uint8

// The classes.
const (
	// Temporary: the same lines again, later.
	Temporary Class = iota + 1
	// Configuration: the same lines again, later, but nothing will get through before somebody acts.
	Configuration
	// TooLarge: fewer lines at once.
	TooLarge
	// Refused: some of the lines will never be taken; the others have to be written without them.
	Refused
)

func (c Class) String() string {
	switch c {
	case Temporary:
		return "temporary"
	case Configuration:
		return "configuration"
	case TooLarge:
		return "too_large"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("Class(%d)", uint8(c))
}

// Error is why a Writer did not write. Its text holds no secret.
type Error struct {
	Class Class
	Err   error
	// Code tells errors of a class apart for the log: an HTTP status, 0 for none.
	Code int
	// RetryAfter is how long the other side asked to be left alone.
	RetryAfter time.Duration
	// Remedy is what somebody can do, a sentence for the log.
	Remedy string

	// What follows is for Refused alone. Why is the reason under which a refused line is counted.
	Why DeadReason
	// Lines is how many of the lines were refused, 0 when unknown; never more than were.
	Lines int
	// Suspects are the ascending indices of the lines that are said to be at fault; a hint, checked by writing again.
	Suspects []int
	// Doubtful: the answer may mean something else than the lines, so it takes a line that was accepted to believe it.
	Doubtful bool
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// classify makes the pool's verdict of any error.
func classify(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Class: Temporary, Err: err}
}
