package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"sync"
	"time"

	"github.com/fernet/fernet-go"
)

// Sizes of a token, from the Fernet specification.
const (
	tokenOverhead = 1 + 8 + 16 + 32 // version, stamp, IV, HMAC
	version       = 0x80
	blockLen      = 16 // AES-CBC with PKCS #7 padding: 1 to 16 octets
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

// Sealer makes datagrams of one sensor under one key. Any number of goroutines may use it.
type Sealer struct {
	id       string
	machines *sync.Pool // of *machine
}

// NewSealer makes a Sealer; it refuses an id that is not valid and a zero key.
func NewSealer(id string, k Key) (*Sealer, error) {
	if err := ValidID(id); err != nil {
		return nil, err
	}
	if k.IsZero() {
		return nil, fmt.Errorf("seal as %s: %w", id, ErrNoKey)
	}
	s := &Sealer{id: id, machines: new(sync.Pool)}
	s.machines.New = func() any { return newMachine(k.secret.key) }
	return s, nil
}

// Seal appends the datagram "id SP token" for plaintext to dst. The token's stamp is now in whole seconds, downwards.
func (s *Sealer) Seal(dst, plaintext []byte, now time.Time) ([]byte, error) {
	unix := now.Unix()
	if unix < 0 || unix >= maxStamp {
		return dst, fmt.Errorf("seal as %s: %w", s.id, ErrClock)
	}
	m, _ := s.machines.Get().(*machine)
	defer s.machines.Put(m)
	dst = append(dst, s.id...)
	dst = append(dst, ' ')
	return base64.URLEncoding.AppendEncode(dst, m.token(plaintext, uint64(unix))), nil
}

// machine makes the tokens of fernet.EncryptAndSign, which sets up both keys for each token and takes 40 % longer at a datagram's length.
type machine struct {
	block cipher.Block
	mac   hash.Hash
	raw   []byte
}

func newMachine(k *fernet.Key) *machine {
	const half = 16 // of a key: it signs with the first and encrypts with the second
	block, err := aes.NewCipher(k[half:])
	if err != nil {
		panic(err) // it refuses other lengths of keys, and nothing else
	}
	return &machine{block: block, mac: hmac.New(sha256.New, k[:half])}
}

// token gives the octets of a token, which are valid until the next call.
func (m *machine) token(plaintext []byte, stamp uint64) []byte {
	b := binary.BigEndian.AppendUint64(append(m.raw[:0], version), stamp)
	iv := len(b)
	b = append(b, make([]byte, blockLen)...)
	_, _ = rand.Read(b[iv:]) // never fails: crypto/rand ends the program where the kernel gives no random bytes
	body := len(b)
	b = append(b, plaintext...)
	padding := blockLen - len(plaintext)%blockLen // PKCS #7: each octet says how many they are
	for range padding {
		b = append(b, byte(padding))
	}
	cipher.NewCBCEncrypter(m.block, b[iv:body]).CryptBlocks(b[body:], b[body:])
	m.mac.Reset()
	_, _ = m.mac.Write(b) // a hash.Hash never returns an error
	m.raw = m.mac.Sum(b)
	return m.raw
}
