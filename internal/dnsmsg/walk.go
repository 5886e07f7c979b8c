package dnsmsg

import (
	"errors"

	"golang.org/x/net/dns/dnsmessage"
)

// section is one of a message's, behind the question.
type section uint8

const (
	answers section = iota
	authorities
	additionals
)

func (s section) header(p *dnsmessage.Parser) (dnsmessage.ResourceHeader, error) {
	switch s {
	case answers:
		return p.AnswerHeader()
	case authorities:
		return p.AuthorityHeader()
	case additionals:
	}
	return p.AdditionalHeader()
}

func (s section) skip(p *dnsmessage.Parser) error {
	switch s {
	case answers:
		return p.SkipAnswer()
	case authorities:
		return p.SkipAuthority()
	case additionals:
	}
	return p.SkipAdditional()
}

// walk visits the records of a section, which the parser is set to. The visit reads or skips what follows the header.
func (d *Decoder) walk(p *dnsmessage.Parser, s section, visit func(h *dnsmessage.ResourceHeader) error) error {
	for range maxRecords {
		var err error
		d.header, err = s.header(p)
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := visit(&d.header); err != nil {
			return err
		}
	}
	if _, err := s.header(p); errors.Is(err, dnsmessage.ErrSectionDone) {
		return nil
	}
	return errRecords
}

// Why a walk ends early; these never leave the package.
var (
	errRecords = errors.New("too many records")
	errAliases = errors.New("too many aliases")
	errLength  = errors.New("an address of another length")
)

func reasonOf(err error) Reason {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, errRecords):
		return Records
	case errors.Is(err, errAliases):
		return Aliases
	default:
		return Malformed
	}
}
