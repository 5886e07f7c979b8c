package setting

import (
	"errors"
	"fmt"
)

// KeyError is what is wrong with the value of a key. Key is dotted, from the table of the settings that were judged, or from
// the top of the file; an element of an array of tables is named by its index: "role[2].ports".
type KeyError struct {
	Key string
	Err error
}

func (e KeyError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e KeyError) Unwrap() error { return e.Err }

// Errorf makes a KeyError.
func Errorf(key, format string, args ...any) error {
	return KeyError{Key: key, Err: fmt.Errorf(format, args...)}
}

// In gives the errors of a table's settings with their keys from the top of the file, where the table is named by its own. An
// error that names no key is one of the table. Nil stays nil.
func In(table string, err error) error {
	if err == nil || table == "" {
		return err
	}
	var errs []error
	for _, part := range Parts(err) {
		keyed, ok := errors.AsType[KeyError](part)
		if ok {
			errs = append(errs, KeyError{Key: table + "." + keyed.Key, Err: keyed.Err})
		} else {
			errs = append(errs, KeyError{Key: table, Err: part})
		}
	}
	return errors.Join(errs...)
}

// Parts gives the errors that were joined, in order, as far as there are keys among them to tell apart: any other error is one
// part, whatever it is made of. What else stands around a KeyError is left out, for its key says where it belongs.
func Parts(err error) []error {
	keyed, ok := errors.AsType[KeyError](err)
	if !ok {
		return []error{err}
	}
	joined := joinedIn(err)
	if len(joined) == 0 {
		return []error{keyed}
	}
	var parts []error
	for _, part := range joined {
		parts = append(parts, Parts(part)...)
	}
	return parts
}

// joinedIn gives what errors.Join made one of, looking through what wraps that; nil where a KeyError comes first.
func joinedIn(err error) []error {
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // each step of the chain is looked at
		case KeyError:
			return nil
		case interface{ Unwrap() []error }:
			return e.Unwrap()
		}
		err = errors.Unwrap(err)
	}
	return nil
}
