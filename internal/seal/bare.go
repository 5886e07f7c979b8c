package seal

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fernet/fernet-go"
)

// macText is how much of a token's end surely holds its HMAC: whole groups of four characters.
const macText = 48

// MAC is a token's HMAC: two tokens with the same one are the same token, however they are coded.
type MAC [sha256.Size]byte

// BareOpener opens tokens that come without an id, as the agents of older systems send them: the caller knows the keys by
// other means. It is immutable and safe for concurrent use.
type BareOpener struct {
	keys  []*fernet.Key
	times *Opener // of no sensors: it has the limits
}

// Bare is an authentic token. It has no number that tells a replay: that is for the caller to remember, by the MAC, for as
// long as a token is taken.
type Bare struct {
	Plaintext []byte    // what was appended to the caller's buffer
	Sealed    time.Time // the token's stamp, whole seconds
	MAC       MAC
}

// NewBareOpener makes a BareOpener of one to MaxKeys keys, the newest first.
func NewBareOpener(keys []Key, limits Limits) (*BareOpener, error) {
	if len(keys) > MaxKeys {
		return nil, fmt.Errorf("%w: %d", ErrTooManyKeys, len(keys))
	}
	if len(keys) == 0 || slices.ContainsFunc(keys, Key.IsZero) {
		return nil, ErrNoKey
	}
	times, err := NewOpener(nil, limits)
	if err != nil {
		return nil, err
	}
	o := &BareOpener{times: times}
	for _, k := range keys {
		o.keys = append(o.keys, k.secret.key)
	}
	return o, nil
}

// Open checks a token that came at a time, and appends its plaintext to dst. With a reason other than ReasonOK Bare is
// empty.
func (o *BareOpener) Open(dst, token []byte, received time.Time) (Bare, Reason) {
	if len(token) < minToken || len(token) > maxDatagram {
		return Bare{}, ReasonSize
	}
	blocks := tokenBlocks(token)
	if blocks == 0 || !isBase64(token) {
		return Bare{}, ReasonShape
	}
	for i := range o.keys {
		plaintext := decrypt(token, o.keys[i:i+1])
		if plaintext == nil || len(plaintext)/blockLen+1 != blocks {
			continue
		}
		stamp := tokenStamp(token)
		if reason := o.times.judge(received.Unix() - stamp); reason != ReasonOK {
			return Bare{}, reason
		}
		return Bare{Plaintext: append(dst, plaintext...)[len(dst):], Sealed: time.Unix(stamp, 0), MAC: tokenMAC(token)}, ReasonOK
	}
	return Bare{}, ReasonHMAC
}

// Oldest gives the least stamp that is taken at a time.
func (o *BareOpener) Oldest(received time.Time) time.Time {
	if o.times.ttl == math.MaxInt64 {
		return time.Time{}
	}
	return time.Unix(received.Unix()-o.times.ttl, 0)
}

// tokenMAC reads the HMAC of a token that has been verified.
func tokenMAC(token []byte) (mac MAC) {
	var raw [macText / 4 * 3]byte
	n, err := base64.URLEncoding.Decode(raw[:], token[len(token)-macText:])
	if err != nil {
		return mac // cannot be: the token was decoded as a whole
	}
	copy(mac[:], raw[n-len(mac):n])
	return mac
}
