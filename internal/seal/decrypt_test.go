package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/fernet/fernet-go"
)

// tokenBlocks knows the lengths of tokens, and no others, with the padding that belongs to each.
func TestTokenBlocks(t *testing.T) {
	blocksOf := map[string]int{}
	text := func(n, padding int) string {
		return tokenStart + strings.Repeat("A", n-len(tokenStart)-padding) + strings.Repeat("=", padding)
	}
	for blocks := 1; blocks < 100; blocks++ {
		raw := make([]byte, tokenOverhead+blocks*blockLen)
		raw[0] = 0x80
		blocksOf[base64.URLEncoding.EncodeToString(raw)] = blocks
	}
	for n := 10; n < 2200; n++ {
		for padding := range 3 { // a third one is no base64
			token := text(n, padding)
			if got := tokenBlocks([]byte(token)); got != blocksOf[token] {
				t.Errorf("%d octets, %d of padding: %d blocks, want %d", n, padding, got, blocksOf[token])
			}
		}
	}
}

// The library panics on these: authentic, with a body that is no whole number of blocks. The shape check keeps them from
// it, so only a test from inside gets that far.
func TestDecryptSurvivesThePanic(t *testing.T) {
	var key fernet.Key
	panicked := 0
	for n := range 40 {
		raw := append([]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, n)...)
		mac := hmac.New(sha256.New, key[:16])
		mac.Write(raw)
		token := []byte(base64.URLEncoding.EncodeToString(mac.Sum(raw)))
		if plaintext := decrypt(token, []*fernet.Key{&key}); len(plaintext) > 0 {
			t.Errorf("body of %d octets is decrypted to %d", n, len(plaintext))
		}
		func() {
			defer func() {
				if recover() != nil {
					panicked++
				}
			}()
			fernet.VerifyAndDecrypt(token, 0, []*fernet.Key{&key})
		}()
	}
	if panicked == 0 {
		t.Error("the library does not panic any more: is recover still needed?")
	}
}
