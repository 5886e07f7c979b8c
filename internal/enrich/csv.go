package enrich

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// parsePrefixes reads the operator's table: lines of prefix, AS number and name, the name may be missing. Lines that
// begin with # and empty lines are passed over, and so is a first line that names the columns. name stands for the file
// in errors, which give the line. A file whose last line does not end is taken for cut: half a table looks like a table.
func parsePrefixes(name string, text []byte) (*table, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return nil, fmt.Errorf("%s:%d: the last line does not end: the file is cut, or wants a newline", name, 1+bytes.Count(text, []byte("\n")))
	}
	lines := csv.NewReader(bytes.NewReader(text))
	lines.Comment, lines.FieldsPerRecord, lines.ReuseRecord, lines.TrimLeadingSpace = '#', -1, true, true
	b := newBuilder()
	for first := true; ; first = false {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, fmt.Errorf("%s:%d: %w", name, parse.Line, parse.Err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if first && strings.EqualFold(fields[0], "prefix") {
			continue
		}
		line, _ := lines.FieldPos(0)
		if err := b.line(fields, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
	}
	t, line, err := b.done()
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, line, err)
	}
	return t, nil
}

// line adds a line of the operator's table.
func (b *builder) line(fields []string, line int) error {
	if len(fields) < 2 || len(fields) > 3 {
		return fmt.Errorf("%d fields: want prefix, AS number and name", len(fields))
	}
	p, err := parsePrefix(strings.TrimSpace(fields[0]))
	if err != nil {
		return err
	}
	s := system{}
	if s.as, err = parseAS(strings.TrimSpace(fields[1])); err != nil {
		return err
	}
	if len(fields) == 3 {
		s.name = fields[2]
	}
	n, err := b.number(s)
	if err != nil {
		return err
	}
	return b.add(p, n, line)
}

func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fmt.Errorf(`%q is no prefix: write it as "192.0.2.0/24" or "2001:db8::/32"`, text)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%q is an IPv4 prefix in IPv6's clothes: write it as IPv4", text)
	case p != p.Masked():
		return p, fmt.Errorf("%q has bits behind its length: write %q", text, p.Masked())
	}
	return p, nil
}

// parseAS reads "64500" or "AS64500". The first and the last number are no system's (RFC 7607, RFC 7300).
func parseAS(text string) (uint32, error) {
	digits := text
	if len(text) > 2 && strings.EqualFold(text[:2], "AS") {
		digits = text[2:]
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n == 0 || n == 1<<32-1 {
		return 0, fmt.Errorf("%q is no AS number: want 1 to 4294967294", text)
	}
	return uint32(n), nil
}
