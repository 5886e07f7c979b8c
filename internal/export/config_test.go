package export_test

import (
	"strings"
	"testing"
	"time"

	"flowsensor/internal/export"
	"flowsensor/internal/seal"
)

func TestValidate(t *testing.T) {
	good := config("collector.example:9999", newKey(t))
	if err := good.Validate(); err != nil {
		t.Fatalf("a good configuration is refused: %v", err)
	}
	for want, spoil := range map[string]func(*export.Config){
		"id: ":                    func(c *export.Config) { c.ID = "-x" },
		"key_file: ":              func(c *export.Config) { c.Key = seal.Key{} },
		"collector: address":      func(c *export.Config) { c.Collector = "192.0.2.1" },
		"expected host:port":      func(c *export.Config) { c.Collector = "2001:db8::1" },
		`port "0"`:                func(c *export.Config) { c.Collector = "192.0.2.1:0" },
		`port "65536"`:            func(c *export.Config) { c.Collector = "192.0.2.1:65536" },
		"no host":                 func(c *export.Config) { c.Collector = ":9999" },
		"delivery: expected":      func(c *export.Config) { c.Delivery = 0 },
		"max_datagram: 100":       func(c *export.Config) { c.MaxDatagram = 100 },
		"max_datagram: 65508":     func(c *export.Config) { c.MaxDatagram = 65508 },
		"flush_interval: 1ms":     func(c *export.Config) { c.FlushInterval = time.Millisecond },
		"flush_interval: 2m":      func(c *export.Config) { c.FlushInterval = 2 * time.Minute },
		"queue: 0":                func(c *export.Config) { c.Queue = 0 },
		"send_buffer: -1":         func(c *export.Config) { c.SendBuffer = -1 },
		"state_dir: ":             func(c *export.Config) { c.Keeping = export.InStateDir },
		"keeping of the stamps: ": func(c *export.Config) { c.Keeping = 0 },
		"resolve_interval: ":      func(c *export.Config) { c.ResolveInterval = 0 },
		"resolver and clock":      func(c *export.Config) { c.Clock = nil },
	} {
		c := good
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a text with %q", err, want)
		}
	}
}

// TestLeastDatagram: the shortest datagram that is accepted takes a record, with the longest id too.
func TestLeastDatagram(t *testing.T) {
	for _, id := range []string{"e", strings.Repeat("e", 63)} {
		cfg := config("192.0.2.1:9999", newKey(t))
		cfg.ID = id
		for cfg.MaxDatagram = 1; cfg.Validate() != nil; cfg.MaxDatagram++ {
			continue
		}
		if cfg.MaxDatagram < 500 || cfg.MaxDatagram > 800 {
			t.Errorf("id of %d octets: the shortest datagram is %d", len(id), cfg.MaxDatagram)
		}
	}
}

func TestDelivery(t *testing.T) {
	var d export.Delivery
	if err := d.UnmarshalText([]byte("fire-and-forget")); err != nil || d != export.FireAndForget {
		t.Errorf("got %v, %v", d, err)
	}
	if text, err := d.MarshalText(); err != nil || string(text) != "fire-and-forget" {
		t.Errorf("got %s, %v", text, err)
	}
	if err := d.UnmarshalText([]byte("pigeon")); err == nil || !strings.Contains(err.Error(), `"fire-and-forget"`) {
		t.Errorf("got %v", err)
	}
}

func TestReasonNames(t *testing.T) {
	seen := make(map[string]bool)
	for r := range export.Reasons {
		if seen[r.String()] || r.String() == "" {
			t.Errorf("reason %d is named %q", r, r)
		}
		seen[r.String()] = true
	}
}
