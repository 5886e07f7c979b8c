package flow

import (
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// DNSAnswer is one response of a DNS server: what a client was told about the name it asked for. Its names are as
// ValidDNSName has them. A copy shares the slices, which nobody may write to once the answer was handed on.
type DNSAnswer struct {
	Client Addr // who asked
	Server Addr // who answered
	// Time of the response, ns since the Unix epoch.
	Time int64
	// Question is the name that was asked for.
	Question string
	// Chain holds the names that the question is an alias of (CNAME), each one of the one before it, as far as the
	// response had them and MaxDNSChain allows.
	Chain []string
	// Addresses are those at the end of the chain.
	Addresses []DNSAddress
	QType     uint16 // the type of record that was asked for: 1 is A, 28 AAAA
	RCode     uint16 // the response code, with its upper bits where EDNS had them (RFC 6891); 0 is no error
	Version   uint8  // the IP version of Client and Server
}

// DNSAddress is an address that a name has, and for how long the response may be kept: the least time to live of all
// records that lead to it, in seconds.
type DNSAddress struct {
	Addr    Addr
	TTL     uint32
	Version uint8
}

// Bounds of a DNSAnswer. Every answer within them fits into a datagram of usual length.
const (
	// MaxDNSName is the length of the longest name as text, in octets (RFC 1035 section 2.3.4 has 255 in the message).
	MaxDNSName = 255
	// MaxDNSChain is the most names a chain holds.
	MaxDNSChain = 8
	// MaxDNSChainOctets is how long the names of a chain are together.
	MaxDNSChainOctets = 256
	// MaxDNSAddresses is the most addresses of one answer.
	MaxDNSAddresses = 16
	// MaxDNSTTL is the longest time to live, in seconds (RFC 2181 section 8).
	MaxDNSTTL = 1<<31 - 1

	maxDNSRCode = 1<<12 - 1
)

// Errors that DNSAnswer.Validate gives besides those of Record.Validate, for errors.Is.
var (
	ErrDNSName   = errors.New("DNS name is not in its written form")
	ErrDNSBounds = errors.New("DNS answer is beyond bounds")
)

// Failed reports whether the answer gives a client nothing to connect to: an error, or no address.
func (a *DNSAnswer) Failed() bool { return a.RCode != 0 || len(a.Addresses) == 0 }

// Outcome is the response code in lower case as IANA has it, "nodata" for no error and no address, a number for a code
// without a name.
func (a *DNSAnswer) Outcome() string {
	switch {
	case a.RCode == 0 && len(a.Addresses) == 0:
		return "nodata"
	case int(a.RCode) < len(dnsRCodes):
		return dnsRCodes[a.RCode]
	default:
		return strconv.Itoa(int(a.RCode))
	}
}

// dnsRCodes are the codes that servers answer with (IANA, DNS RCODEs); those of updates and transfers stay numbers.
var dnsRCodes = [...]string{"noerror", "formerr", "servfail", "nxdomain", "notimp", "refused"}

// Type names the type that was asked for, as RFC 3597 section 5 has it where it is not a common one.
func (a *DNSAnswer) Type() string {
	if name, ok := dnsTypes[a.QType]; ok {
		return name
	}
	return "TYPE" + strconv.Itoa(int(a.QType))
}

// dnsTypes are the types that clients ask for (IANA, DNS resource record types).
var dnsTypes = map[uint16]string{
	1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR", 43: "DS", 48: "DNSKEY",
	64: "SVCB", 65: "HTTPS", 255: "ANY",
}

// DNSFailures gives the answers that failed: of those with the same client, question, type and code the first one's index,
// and how many there are.
func DNSFailures(answers []DNSAnswer) iter.Seq2[int, int] {
	type failure struct {
		client       Addr
		question     string
		qtype, rcode uint16
		version      uint8
	}
	return func(yield func(int, int) bool) {
		of := func(a *DNSAnswer) failure { return failure{a.Client, a.Question, a.QType, a.RCode, a.Version} }
		times := make(map[failure]int)
		for i := range answers {
			if a := &answers[i]; a.Failed() {
				times[of(a)]++
			}
		}
		for i := range answers {
			n := times[of(&answers[i])]
			if n == 0 || !answers[i].Failed() {
				continue
			}
			delete(times, of(&answers[i]))
			if !yield(i, n) {
				return
			}
		}
	}
}

// Validate refuses an answer that no sensor makes.
func (a *DNSAnswer) Validate() error {
	if a.Version != 4 && a.Version != 6 {
		return ErrVersion
	}
	if a.Version == 4 && (!isIPv4(a.Client) || !isIPv4(a.Server)) {
		return ErrAddress
	}
	if a.Time < 0 || a.Time > MaxTime {
		return ErrTimes
	}
	if a.RCode > maxDNSRCode || len(a.Chain) > MaxDNSChain || len(a.Addresses) > MaxDNSAddresses {
		return ErrDNSBounds
	}
	if !ValidDNSName(a.Question) || slices.ContainsFunc(a.Chain, func(name string) bool { return !ValidDNSName(name) }) {
		return ErrDNSName
	}
	octets := 0
	for _, name := range a.Chain {
		octets += len(name)
	}
	if octets > MaxDNSChainOctets {
		return ErrDNSBounds
	}
	for i := range a.Addresses {
		if err := a.Addresses[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

func (d *DNSAddress) validate() error {
	switch {
	case d.Version != 4 && d.Version != 6:
		return ErrVersion
	case d.Version == 4 && !isIPv4(d.Addr):
		return ErrAddress
	case d.TTL > MaxDNSTTL:
		return ErrDNSBounds
	default:
		return nil
	}
}

func isIPv4(a Addr) bool { return a.Hi == 0 && a.Lo <= 0xffffffff }

// ValidDNSName reports whether name is in the form that names have in here: printable ASCII without capital letters, labels
// parted by dots without one at the end, "." for the root, and every octet that is none of these as \DDD in decimal (RFC 1035
// section 5.1). Such a name breaks no line and no quotes, wherever it is written.
func ValidDNSName(name string) bool {
	if name == "." {
		return true
	}
	if name == "" || len(name) > MaxDNSName || name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, "..") {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c == '\\':
			if !isEscape(name[i:]) {
				return false
			}
			i += escapeLen - 1
		case c != '.' && !PlainDNSOctet(c):
			return false
		}
	}
	return true
}

const escapeLen = len(`\DDD`)

func isEscape(s string) bool {
	if len(s) < escapeLen {
		return false
	}
	value := 0
	for _, digit := range []byte(s[1:escapeLen]) {
		if digit < '0' || digit > '9' {
			return false
		}
		value = 10*value + int(digit-'0')
	}
	return value <= 255 && !PlainDNSOctet(byte(value))
}

// PlainDNSOctet reports whether an octet of a label stands for itself in a written name. A capital letter does not: it is
// written as the small one.
func PlainDNSOctet(c byte) bool {
	switch {
	case c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z':
		return false
	default:
		return c != '.' && c != '\\' && c != '"' && c != ','
	}
}
