package capture_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flowsensor/internal/capture"
)

func TestValidate(t *testing.T) {
	good := capture.Config{Interface: "eth0"}
	if err := good.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	for name, c := range map[string]struct {
		spoil func(*capture.Config)
		want  string // "": good
	}{
		"no interface":        {func(c *capture.Config) { c.Interface = "" }, "interface"},
		"negative workers":    {func(c *capture.Config) { c.Workers = -1 }, "workers"},
		"many workers":        {func(c *capture.Config) { c.Workers = 257 }, "workers"},
		"odd block":           {func(c *capture.Config) { c.BlockSize = 3 * 4096 }, "block_size"},
		"small block":         {func(c *capture.Config) { c.BlockSize = 2048 }, "block_size"},
		"odd ring":            {func(c *capture.Config) { c.RingSize = 1<<20 + 4096 }, "ring_size"},
		"few blocks":          {func(c *capture.Config) { c.RingSize = c.BlockSize }, "ring_size"},
		"negative ring":       {func(c *capture.Config) { c.RingSize = -65536 }, "ring_size"},
		"ring over 32 bits":   {func(c *capture.Config) { c.RingSize = 4 << 30 }, "ring_size"},
		"ring of 2 GiB":       {func(c *capture.Config) { c.RingSize = 2 << 30 }, ""},
		"timeout under a ms":  {func(c *capture.Config) { c.BlockTimeout = 500 * time.Microsecond }, "block_timeout"},
		"timeout not in ms":   {func(c *capture.Config) { c.BlockTimeout = 1500 * time.Microsecond }, "block_timeout"},
		"long timeout":        {func(c *capture.Config) { c.BlockTimeout = 2 * time.Second }, "block_timeout"},
		"negative timeout":    {func(c *capture.Config) { c.BlockTimeout = -time.Millisecond }, "block_timeout"},
		"short snap":          {func(c *capture.Config) { c.SnapLength = 14 }, "snap_length"},
		"long snap":           {func(c *capture.Config) { c.SnapLength = 1 << 20 }, "snap_length"},
		"negative sample":     {func(c *capture.Config) { c.Sample = -2 }, "sample"},
		"sparse sample":       {func(c *capture.Config) { c.Sample = capture.MaxSample + 1 }, "sample"},
		"unknown promiscuity": {func(c *capture.Config) { c.Promiscuous = 9 }, "promiscuous"},
		"unknown fanout":      {func(c *capture.Config) { c.Fanout = 9 }, "fanout"},
		"unknown engine":      {func(c *capture.Config) { c.Engine = 9 }, "engine"},
		"no remote":           {func(c *capture.Config) { c.Exclude = []capture.Exclusion{{}} }, "remote"},
		"no remote port":      {func(c *capture.Config) { c.Exclude = []capture.Exclusion{exclusion("", "192.0.2.1:0")} }, "remote"},
		"any remote":          {func(c *capture.Config) { c.Exclude = []capture.Exclusion{exclusion("", "0.0.0.0:9999")} }, "remote"},
		"mixed versions":      {func(c *capture.Config) { c.Exclude = []capture.Exclusion{exclusion("[::1]:1", "192.0.2.1:1")} }, "IP version"},
		"any local of either": {func(c *capture.Config) { c.Exclude = []capture.Exclusion{exclusion("[::]:1", "192.0.2.1:1")} }, ""},
	} {
		cfg := good
		cfg.BlockSize = 65536
		c.spoil(&cfg)
		err := cfg.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestModesAsText(t *testing.T) {
	var (
		promiscuous capture.Promiscuity
		fanout      capture.FanoutMode
		engine      capture.Engine
	)
	for name, m := range map[string]struct {
		unmarshal func([]byte) error
		text      func() ([]byte, error)
		names     []string
	}{
		"promiscuous": {promiscuous.UnmarshalText, func() ([]byte, error) { return promiscuous.MarshalText() }, []string{"on", "off"}},
		"fanout":      {fanout.UnmarshalText, func() ([]byte, error) { return fanout.MarshalText() }, []string{"flow", "hash", "cpu", "qm"}},
		"engine":      {engine.UnmarshalText, func() ([]byte, error) { return engine.MarshalText() }, []string{"afpacket", "ring"}},
	} {
		for _, want := range m.names {
			err := m.unmarshal([]byte(want))
			if got, _ := m.text(); err != nil || string(got) != want {
				t.Errorf("%s: %q came back as %q (%v)", name, want, got, err)
			}
		}
		if err := m.unmarshal([]byte("rollover")); err == nil || !strings.Contains(err.Error(), m.names[1]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range []fmt.Stringer{capture.LinkNoCarrier, capture.On, capture.FanoutMode(77)} {
		if s.String() == "" {
			t.Errorf("%#v has no name", s)
		}
	}
}

func TestCheckMemory(t *testing.T) {
	const gib = 1 << 30
	ring := capture.Config{Interface: "x", Workers: 2, RingSize: 256 << 20}
	for name, c := range map[string]struct {
		available uint64
		configs   []capture.Config
		refused   bool
	}{
		"none":             {gib, nil, false},
		"exactly":          {4 * gib, []capture.Config{ring, ring}, false},
		"one over":         {4*gib - 4, []capture.Config{ring, ring}, true},
		"sum over":         {4 * gib, []capture.Config{ring, ring, {Interface: "y"}}, true},
		"defaults count":   {255 << 20, []capture.Config{{Interface: "y"}}, true},
		"default fits":     {256 << 20, []capture.Config{{Interface: "y"}}, false},
		"more than 32 bit": {1 << 40, []capture.Config{{Interface: "y", Workers: 256, RingSize: 2 << 30}}, true},
	} {
		if err := capture.CheckMemoryOf(c.available, c.configs); (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := capture.CheckMemory(capture.Config{Interface: "x", RingSize: 1 << 20}); err != nil {
		t.Error(err)
	}
}

func TestAvailableMemory(t *testing.T) {
	got, err := capture.ParseMemAvailable(strings.NewReader("MemTotal:  24683576 kB\nMemFree:  1 kB\nMemAvailable:   1048576 kB\nBuffers: 5 kB\n"))
	if err != nil || got != 1<<30 {
		t.Errorf("%d, %v", got, err)
	}
	for _, text := range []string{"", "MemTotal: 5 kB\n", "MemAvailable: x kB\n", "MemAvailable: -1 kB\n", "MemAvailable: 99999999999999999999 kB\n"} {
		if n, err := capture.ParseMemAvailable(strings.NewReader(text)); err == nil {
			t.Errorf("%q gave %d", text, n)
		}
	}
	// A sandbox may hide the file.
	if n, err := capture.AvailableMemoryOf("/nonexistent/meminfo"); err != nil || n < 1<<20 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestExclusionOfAMappedAddress(t *testing.T) {
	e := capture.Exclusion{
		Local: netip.MustParseAddrPort("[::ffff:192.0.2.1]:5"), Remote: netip.MustParseAddrPort("198.51.100.9:9999"),
	}
	if err := (capture.Config{Interface: "x", Exclude: []capture.Exclusion{e}}).Validate(); err != nil {
		t.Error(err)
	}
}
