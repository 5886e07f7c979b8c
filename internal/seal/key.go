package seal

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/fernet/fernet-go"
)

const redacted = "[redacted]"

// ErrKey says that a text is not a Fernet key.
var ErrKey = errors.New("not a Fernet key: 32 octets in base64, 44 characters")

// Key is a Fernet key. It shows itself as [redacted] in every verb of fmt, in JSON and other text encodings, and in slog.
// The zero value is no key. Copies share the secret; keys may be used from any goroutine.
type Key struct {
	secret *secret
}

// secret is the second of two pointers to a key. Where a Key is an unexported field, fmt does not call its methods but
// walks into it: through one pointer, where the verb does not fit, never through two.
type secret struct {
	key *fernet.Key
}

func keyOf(k *fernet.Key) Key { return Key{secret: &secret{key: k}} }

// GenerateKey makes a new key from the system's random numbers.
func GenerateKey() (Key, error) {
	k := new(fernet.Key)
	if err := k.Generate(); err != nil {
		return Key{}, fmt.Errorf("generate key: %w", err)
	}
	return keyOf(k), nil
}

// ParseKey reads a key as GenerateKey and Encode make it: URL-safe or standard base64 with padding, white space around
// it ignored. The error is ErrKey and tells nothing of the text.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	if len(text) != base64.URLEncoding.EncodedLen(len(fernet.Key{})) {
		return Key{}, ErrKey
	}
	k, err := fernet.DecodeKey(text)
	if err != nil {
		return Key{}, ErrKey // the library's error quotes from the text
	}
	return keyOf(k), nil
}

// Encode gives the key's text, the secret itself: for the command that makes keys and nothing else.
func (k Key) Encode() string {
	if k.IsZero() {
		return ""
	}
	return k.secret.key.Encode()
}

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k.secret == nil }

// Equal reports whether k and other are the same key.
func (k Key) Equal(other Key) bool {
	if k.IsZero() || other.IsZero() {
		return k.IsZero() && other.IsZero()
	}
	return subtle.ConstantTimeCompare(k.secret.key[:], other.secret.key[:]) == 1
}

// String gives [redacted].
func (k Key) String() string { return redacted }

// GoString gives [redacted].
func (k Key) GoString() string { return redacted }

// Format writes [redacted] for every verb.
func (k Key) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// MarshalText gives [redacted], to JSON too.
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue gives [redacted].
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }
