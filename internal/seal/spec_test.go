package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/fernet/fernet-go"

	"flowsensor/internal/seal"
)

// The test vectors of the Fernet specification (github.com/fernet/spec: generate.json, verify.json, invalid.json).
const (
	specKey   = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
	specToken = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
	specPlain = "hello"
	specStamp = 499162800 // 1985-10-26T01:20:00-07:00
)

var specIV = []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// sign makes a token of a body that is encrypted already: any body, also one that no Fernet library would make.
func sign(tb testing.TB, iv, body []byte) string {
	tb.Helper()
	key, err := base64.URLEncoding.DecodeString(specKey)
	if err != nil {
		tb.Fatal(err)
	}
	raw := binary.BigEndian.AppendUint64([]byte{0x80}, specStamp)
	raw = append(append(raw, iv...), body...)
	mac := hmac.New(sha256.New, key[:16])
	mac.Write(raw)
	return base64.URLEncoding.EncodeToString(mac.Sum(raw))
}

// encrypt is AES-128-CBC over a body that is padded already.
func encrypt(tb testing.TB, iv, padded []byte) []byte {
	tb.Helper()
	key, err := base64.URLEncoding.DecodeString(specKey)
	if err != nil {
		tb.Fatal(err)
	}
	block, err := aes.NewCipher(key[16:])
	if err != nil {
		tb.Fatal(err)
	}
	body := slices.Clone(padded)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(body, body)
	return body
}

// pad pads as PKCS #7 does.
func pad(plain []byte) []byte {
	n := 16 - len(plain)%16
	return append(slices.Clone(plain), slices.Repeat([]byte{byte(n)}, n)...)
}

func specOpener(tb testing.TB) *seal.Opener {
	tb.Helper()
	return opener(tb, seal.Sensor{ID: "edge-1", Keys: []seal.Key{parse(tb, specKey)}})
}

func TestSpecGenerateAndVerify(t *testing.T) {
	token := sign(t, specIV, encrypt(t, specIV, pad([]byte(specPlain))))
	if token != specToken {
		t.Fatalf("the test's own Fernet makes %s", token)
	}
	got, reason := specOpener(t).Open(nil, []byte("edge-1 "+specToken), netip.Addr{}, time.Unix(specStamp+1, 0))
	if reason != seal.ReasonOK || string(got.Plaintext) != specPlain || got.Sealed.Unix() != specStamp {
		t.Errorf("got %q of %s, %s", got.Plaintext, got.Sealed, reason)
	}
}

// What the sealer makes, the specification's algorithm opens.
func TestSealedIsFernet(t *testing.T) {
	sealer, err := seal.NewSealer("edge-1", parse(t, specKey))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		plain := slices.Repeat([]byte{'x'}, n)
		datagram, err := sealer.Seal(nil, plain, time.Unix(specStamp, 999_999_999))
		if err != nil {
			t.Fatal(err)
		}
		token := string(datagram[len("edge-1 "):])
		raw, err := base64.URLEncoding.Strict().DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		iv := raw[9:25]
		if want := sign(t, iv, encrypt(t, iv, pad(plain))); token != want {
			t.Fatalf("%d octets: sealed %s, the specification makes %s", n, token, want)
		}
	}
}

func TestSpecInvalid(t *testing.T) {
	for _, c := range []struct {
		name, token string
		received    int64
		want        seal.Reason
	}{
		{
			"incorrect mac", "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==",
			specStamp + 1, seal.ReasonHMAC,
		},
		{"too short", "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==", specStamp + 1, seal.ReasonSize},
		{
			"invalid base64", "%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
			specStamp + 1, seal.ReasonShape,
		},
		{
			"payload size not multiple of block size",
			"gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm",
			specStamp + 1, seal.ReasonShape,
		},
		{
			"payload padding error",
			"gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==",
			specStamp + 1, seal.ReasonHMAC,
		},
		{
			"far-future TS (unacceptable clock skew)",
			"gAAAAAAdwStRAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAnja1xKYyhd-Y6mSkTOyTGJmw2Xc2a6kBd-iX9b_qXQcw==",
			specStamp + 1, seal.ReasonClockAhead,
		},
		{
			"expired TTL", "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
			specStamp + 91, seal.ReasonClockOld,
		},
		{
			"incorrect IV (causes padding error)",
			"gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ==",
			specStamp + 1, seal.ReasonHMAC,
		},
		{"very short payload size", "gAAAAABdnQ1TUKh2OE_ggbyCIxfg", specStamp + 1, seal.ReasonSize},
		{"super short payload size", "gAAA", specStamp + 1, seal.ReasonSize},
	} {
		if _, got := specOpener(t).Open(nil, []byte("edge-1 "+c.token), netip.Addr{}, time.Unix(c.received, 0)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// A key holder can sign what no library makes. Nothing of it may be opened, and nothing may stop the collector.
func TestSignedNonsense(t *testing.T) {
	o := specOpener(t)
	at := time.Unix(specStamp, 0)
	refused := func(what string, n int, token string) {
		t.Helper()
		if _, reason := o.Open(nil, []byte("edge-1 "+token), netip.Addr{}, at); reason == seal.ReasonOK {
			t.Errorf("%s %d is opened", what, n)
		}
	}
	for n := range 64 {
		if n%16 != 0 || n == 0 {
			refused("body length", n, sign(t, specIV, make([]byte, n)))
		}
	}
	for c := range 256 {
		padded := slices.Repeat([]byte{byte(c)}, 272)
		if c == 0 || c > 16 {
			refused("padding", c, sign(t, specIV, encrypt(t, specIV, padded)))
		}
	}
	refused("short IV", 8, sign(t, specIV[:8], make([]byte, 56)))
}

// The library decodes what it can and ignores the rest, so that a token can be re-coded and still verify.
func TestOneCodingOnly(t *testing.T) {
	o := specOpener(t)
	at := time.Unix(specStamp, 0)
	for name, datagram := range map[string]string{
		"junk behind":          "edge-1 " + specToken + "junkjunkjunkjunk",
		"a token's length":     "edge-1 " + specToken + specToken[:64],
		"line end behind":      "edge-1 " + specToken + "\n\n\n\n",
		"line ends inside":     "edge-1 " + specToken[:50] + "\n\n\n\n" + specToken[50:],
		"64 line ends inside":  "edge-1 " + specToken[:50] + string(slices.Repeat([]byte{'\n'}, 64)) + specToken[50:],
		"64 line ends behind":  "edge-1 " + specToken + string(slices.Repeat([]byte{'\n'}, 64)),
		"standard alphabet":    "edge-1 " + "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ/eEwCGM4BLLF/5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==",
		"more padding":         "edge-1 " + specToken + "====",
		"no padding":           "edge-1 " + specToken[:98],
		"padding in the midst": "edge-1 " + specToken[:96] + "=" + specToken[97:98] + "==",
		"two spaces":           "edge-1  " + specToken,
		"no id":                " " + specToken + specToken[:64],
		"bare token":           specToken + specToken,
	} {
		if _, got := o.Open(nil, []byte(datagram), netip.Addr{}, at); got != seal.ReasonShape {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// The library takes what is sealed here, whatever its length.
func TestTheLibraryOpensWhatIsSealed(t *testing.T) {
	key, err := seal.ParseKey(specKey)
	if err != nil {
		t.Fatal(err)
	}
	s, err := seal.NewSealer("edge-1", key)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	seen := map[string]bool{}
	for n := range 70 {
		plain := bytes.Repeat([]byte{byte(n)}, n)
		datagram, err := s.Seal(nil, plain, now)
		if err != nil {
			t.Fatal(err)
		}
		token, ok := bytes.CutPrefix(datagram, []byte("edge-1 "))
		if got := fernet.VerifyAndDecrypt(token, time.Hour, fernet.MustDecodeKeys(specKey)); !ok || got == nil || !bytes.Equal(got, plain) {
			t.Errorf("%d octets: %q gives %q", n, datagram, got)
		}
		const ivAt, ivLen = 12, 20 // within 9 octets of version and stamp the base64 of the IV begins
		iv := string(token[ivAt : ivAt+ivLen])
		if seen[iv] {
			t.Error("an IV came twice")
		}
		seen[iv] = true
	}
}
