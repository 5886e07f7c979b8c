package seal

import (
	"errors"
	"fmt"
	"time"

	"github.com/fernet/fernet-go"
)

// Sizes of a token, from the Fernet specification.
const (
	tokenOverhead = 1 + 8 + 16 + 32 // version, stamp, IV, HMAC
	blockLen      = 16              // AES-CBC with PKCS #7 padding: 1 to 16 octets
	maxID         = 63
	maxStamp      = 1 << 36 // beyond it a token no longer begins with gAAAAA: year 4147
)

// Errors for errors.Is.
var (
	ErrID    = errors.New("sensor id must be 1 to 63 of A-Z a-z 0-9 . _ - and begin with a letter or digit")
	ErrNoKey = errors.New("no key")
	ErrClock = errors.New("clock cannot be written into a Fernet token")
)

// ValidID holds an id to [A-Za-z0-9][A-Za-z0-9._-]{0,62}; the error is ErrID.
func ValidID(id string) error {
	if id == "" || len(id) > maxID {
		return ErrID
	}
	for i, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return fmt.Errorf("%w: %q", ErrID, id)
		}
	}
	return nil
}

// MaxPlaintext is the longest plaintext whose datagram, with an id of idLen octets, is not longer than datagram octets;
// 0 when there is none.
func MaxPlaintext(datagram, idLen int) int {
	token := datagram - idLen - 1
	blocks := (token/4*3 - tokenOverhead) / blockLen
	if token < 0 || blocks < 1 {
		return 0
	}
	return blocks*blockLen - 1
}

// Sealer makes datagrams of one sensor under one key. It is immutable: any number of goroutines may use it.
type Sealer struct {
	id  string
	key Key
}

// NewSealer makes a Sealer; it refuses an id that is not valid and a zero key.
func NewSealer(id string, k Key) (*Sealer, error) {
	if err := ValidID(id); err != nil {
		return nil, err
	}
	if k.IsZero() {
		return nil, fmt.Errorf("seal as %s: %w", id, ErrNoKey)
	}
	return &Sealer{id: id, key: k}, nil
}

// Seal appends the datagram "id SP token" for plaintext to dst. The token's stamp is now in whole seconds, downwards.
func (s *Sealer) Seal(dst, plaintext []byte, now time.Time) ([]byte, error) {
	if unix := now.Unix(); unix < 0 || unix >= maxStamp {
		return dst, fmt.Errorf("seal as %s: %w", s.id, ErrClock)
	}
	token, err := fernet.EncryptAndSignAtTime(plaintext, s.key.secret.key, now)
	if err != nil {
		return dst, fmt.Errorf("seal as %s: %w", s.id, err)
	}
	dst = append(dst, s.id...)
	dst = append(dst, ' ')
	return append(dst, token...), nil
}
