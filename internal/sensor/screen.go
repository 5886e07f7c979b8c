package sensor

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Size of a terminal that does not tell its own.
const (
	usualRows    = 24
	usualColumns = 80
)

// Control sequences of ECMA-48, which every terminal in use knows.
const (
	home       = "\x1b[H"
	clearLine  = "\x1b[K" // from the cursor on
	clearBelow = "\x1b[J"
	clearAll   = "\x1b[2J"
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
)

// Screen redraws a terminal in place. A nil Screen prints one picture after the other.
type Screen struct {
	terminal *os.File
	begun    bool
}

// NewScreen gives the screen of a terminal, nil where the file is none.
func NewScreen(f *os.File) *Screen {
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	return &Screen{terminal: f}
}

func (s *Screen) size() (rows, columns int) {
	size, err := unix.IoctlGetWinsize(int(s.terminal.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Row == 0 || size.Col == 0 {
		return usualRows, usualColumns
	}
	return int(size.Row), int(size.Col)
}

func (s *Screen) rows() int {
	rows, _ := s.size()
	return rows
}

// show puts a picture on the screen, cut to it. Without a screen it goes to out as it is.
func (s *Screen) show(out io.Writer, picture []byte) error {
	if s == nil {
		_, err := out.Write(picture)
		return err
	}
	rows, columns := s.size()
	var drawn bytes.Buffer
	if !s.begun {
		drawn.WriteString(hideCursor + clearAll)
		s.begun = true
	}
	drawn.WriteString(home)
	drawn.Write(fit(picture, rows, columns))
	drawn.WriteString(clearBelow)
	_, err := s.terminal.Write(drawn.Bytes())
	return err
}

// fit cuts a picture to a size. Its text is ASCII: an octet is a column.
func fit(picture []byte, rows, columns int) []byte {
	lines := bytes.Split(bytes.TrimSuffix(picture, []byte("\n")), []byte("\n"))
	var out bytes.Buffer
	for i, line := range lines[:min(len(lines), rows)] {
		if i > 0 {
			out.WriteByte('\n')
		}
		out.Write(line[:min(len(line), columns)])
		if len(line) < columns {
			out.WriteString(clearLine) // in the last column it would take away the last character
		}
	}
	return out.Bytes()
}

// close gives the cursor back.
func (s *Screen) close() {
	if s != nil && s.begun {
		_, _ = s.terminal.WriteString("\n" + showCursor) // the terminal is gone: nobody misses the cursor
	}
}
