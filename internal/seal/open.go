package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/fernet/fernet-go"
)

const (
	// maxDatagram is the largest UDP payload over IPv4.
	maxDatagram = 65507
	// minToken is the token of an empty plaintext.
	minToken = 100
	// minDatagram is the shortest id, a space, the shortest token.
	minDatagram = 1 + 1 + minToken
	// tokenStart is the version octet and the upper 28 bits of the stamp, which are zero until the year 4147.
	tokenStart = "gAAAAA"
	// stampText is how much of a token holds version and stamp.
	stampText = 12
)

// Open checks a datagram that came from an address at a time, and appends its plaintext to dst. The checks stand in the
// order of their cost: size, shape, id, address, HMAC, stamp. With ReasonClockOld and ReasonClockAhead the datagram is
// authentic and Opened is filled, so that the sender can be told its offset; with the other refusals Opened is empty.
// Whether it is a replay is not known here: see Boots.
func (o *Opener) Open(dst, datagram []byte, from netip.Addr, received time.Time) (Opened, Reason) {
	if len(datagram) < minDatagram || len(datagram) > maxDatagram {
		return Opened{}, ReasonSize
	}
	space := bytes.IndexByte(datagram[:maxID+1], ' ')
	if space < 1 {
		return Opened{}, ReasonShape
	}
	token := datagram[space+1:]
	blocks := tokenBlocks(token)
	if blocks == 0 {
		return Opened{}, ReasonShape
	}
	entry := o.sensors[string(datagram[:space])]
	if entry == nil {
		return Opened{}, ReasonUnknownID
	}
	if !entry.allows(from) {
		return Opened{}, ReasonAddress
	}
	if !isBase64(token) {
		return Opened{}, ReasonShape
	}
	for i := range entry.keys {
		plaintext := decrypt(token, entry.keys[i:i+1])
		// The library takes any last octet up to 255 for a padding length, and 0 too. The specification does not: the
		// length of the token and of the plaintext determine each other.
		if plaintext == nil || len(plaintext)/blockLen+1 != blocks {
			continue
		}
		stamp := tokenStamp(token)
		opened := Opened{
			Sensor: &entry.sensor, KeyIndex: i, Plaintext: append(dst, plaintext...)[len(dst):], Sealed: time.Unix(stamp, 0),
		}
		opened.Offset = opened.Sealed.Add(time.Second / 2).Sub(received)
		return opened, o.judge(received.Unix() - stamp)
	}
	return Opened{}, ReasonHMAC
}

// judge compares the age of an authentic token, in whole seconds, with the limits.
func (o *Opener) judge(age int64) Reason {
	switch {
	case age > o.ttl:
		return ReasonClockOld
	case age < -o.skew:
		return ReasonClockAhead
	default:
		return ReasonOK
	}
}

// tokenBlocks is the number of cipher blocks in a token, 0 when its length, start and padding are not those of any token.
// It looks at eight octets: this is what junk meets first.
func tokenBlocks(token []byte) int {
	n := len(token)
	if n < minToken || n%4 != 0 || string(token[:len(tokenStart)]) != tokenStart {
		return 0
	}
	raw := n / 4 * 3
	if token[n-1] == '=' {
		raw--
		if token[n-2] == '=' {
			raw--
		}
	}
	if (raw-tokenOverhead)%blockLen != 0 {
		return 0
	}
	return (raw - tokenOverhead) / blockLen
}

// base64Bad is 0 for the characters of RFC 4648 section 5, without the padding.
var base64Bad = func() (bad [256]byte) {
	for i := range bad {
		bad[i] = 1
	}
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		bad[c] = 0
	}
	return bad
}()

// isBase64 reports whether token is base64 and nothing else. The library decodes as far as it can and skips line ends, so
// that without this check a token could be re-coded, or have something behind it, and still verify. The length and
// the padding have been checked.
func isBase64(token []byte) bool {
	end := len(token)
	for token[end-1] == '=' && end > len(token)-2 {
		end--
	}
	var bad byte
	for _, c := range token[:end] {
		bad |= base64Bad[c]
	}
	return bad == 0
}

// decrypt verifies token under the one key and gives its plaintext, nil when it is not authentic. The library's time
// checks are off: they know neither the receive time nor a skew of ours.
func decrypt(token []byte, key []*fernet.Key) (plaintext []byte) {
	// The library panics on an authentic token with a damaged length. The shape check leaves it none that is known; a
	// key holder must not be able to stop the collector by one that is not.
	defer func() {
		if recover() != nil {
			plaintext = nil
		}
	}()
	return fernet.VerifyAndDecrypt(token, 0, key)
}

// tokenStamp reads the stamp of a token that has been verified: seconds, below 2^36 by the token's start.
func tokenStamp(token []byte) int64 {
	var raw [stampText / 4 * 3]byte
	if _, err := base64.URLEncoding.Decode(raw[:], token[:stampText]); err != nil {
		return 0 // cannot be: the token was decoded as a whole
	}
	return int64(binary.BigEndian.Uint64(raw[1:]))
}
