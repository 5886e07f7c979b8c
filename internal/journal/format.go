package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// directoryFormat is the version of what an embedded journal's directory holds: its messages, its checkpoints and the files of the
// server. It stands in a file there; a directory without one is of version 1.
const (
	directoryFormat = 1
	formatName      = "format"
	formatText      = "flow-collector journal %d\n"
)

// ErrFormat says that a newer version wrote the journal: nothing in it is damaged, and nothing is set aside.
var ErrFormat = errors.New("written by a newer flow-collector")

// checkFormat refuses a directory of a newer version, and marks one that has no mark.
func checkFormat(dir string) error {
	path := filepath.Join(dir, formatName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(path, fmt.Appendf(nil, formatText, directoryFormat), 0o600)
	}
	if err != nil {
		return err
	}
	var got int
	if _, err := fmt.Sscanf(string(text), formatText, &got); err != nil || got <= directoryFormat {
		return nil // a mark that was cut short by a crash says nothing
	}
	return fmt.Errorf("%s has format %d, this version knows %d: %w: install that one again, and let it write what is there before a downgrade; "+
		"or move the directory away, which loses what is in it", dir, got, directoryFormat, ErrFormat)
}
