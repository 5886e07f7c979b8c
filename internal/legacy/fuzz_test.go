package legacy_test

import (
	"encoding/base64"
	"testing"

	"flowsensor/internal/flow"
	"flowsensor/internal/legacy"
)

// Whatever a key holder seals, and whatever anybody sends, ends in a reason; a batch that is made is one that a sensor could
// have sent.
func FuzzOpen(f *testing.F) {
	key := newKey(f)
	f.Add([]byte(tcp))
	f.Add([]byte(`{"e,2001:db8::1,2001:db8::2,0,1,2,0,34525": {"bytes": 1e3, "packets": 1, "start_time": 1e9, "end_time": 1e9, "flags": ""}}`))
	f.Add([]byte(`{",,,,,,,":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 30000 {
			return
		}
		agents := newAgents(t, key)
		var b flow.Batch
		if reason := agents.Open(&b, data, home, at); reason < legacy.ReasonGreeting || reason > legacy.ReasonHMAC {
			t.Fatalf("%q ended as %s", data, reason)
		}
		if agents.Open(&b, sealed(t, key, base64.StdEncoding.EncodeToString(data), at), home, at) != legacy.ReasonOK {
			return
		}
		if len(b.Records) == 0 || len(b.Records) > 256 || len(b.Interfaces) > len(b.Records) {
			t.Fatalf("%d records, %d interfaces", len(b.Records), len(b.Interfaces))
		}
		for i := range b.Records {
			if err := b.Records[i].Validate(); err != nil {
				t.Fatalf("%+v: %v", b.Records[i], err)
			}
		}
	})
}
