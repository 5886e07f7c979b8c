package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// fingerprintLabel separates fingerprints from all else that is made with the key. A token begins with 0x80, so no token's
// HMAC can be one of these.
const fingerprintLabel = "flow-sensor key fingerprint 1"

// Fingerprint gives what two people compare to know that they hold the same key: 64 bits of an HMAC-SHA256 under it, which
// tells nothing of the key to who does not have it. "" for no key.
func (k Key) Fingerprint() string {
	if k.IsZero() {
		return ""
	}
	mac := hmac.New(sha256.New, k.secret.key[:])
	mac.Write([]byte(fingerprintLabel))
	text := hex.EncodeToString(mac.Sum(nil)[:8])
	return strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:]}, "-")
}
