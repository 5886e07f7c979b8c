package config

import (
	"errors"
	"os"
	"strings"

	"flowsensor/internal/setting"
)

// Locate gives the errors of settings (setting.KeyError, keys from the top of the file), alone or joined, the file and the line of
// their keys, as a Document does. It is for what only shows when the configuration is put to use. The file is read again; where
// that fails, and where no key is named, the error stays as it is. What errors.Is and errors.As find in it stays in any case.
func Locate(path string, err error) error {
	if _, ok := errors.AsType[setting.KeyError](err); !ok {
		return err
	}
	text, readErr := os.ReadFile(path)
	if readErr != nil {
		return err
	}
	d := &Document{name: path, lines: strings.SplitAfter(string(text), "\n")}
	var lines []string
	for _, part := range setting.Parts(err) {
		line := part.Error()
		if keyed, ok := errors.AsType[setting.KeyError](part); ok {
			line = d.Where(keyed.Key) + ": " + line
		}
		lines = append(lines, line)
	}
	return locatedError{text: strings.Join(lines, "\n"), err: err}
}

// locatedError says what another error does, with the lines.
type locatedError struct {
	text string
	err  error
}

func (e locatedError) Error() string { return e.text }

func (e locatedError) Unwrap() error { return e.err }
