package store_test

import (
	"log/slog"
	"strings"
	"testing"

	"flowsensor/internal/store"
)

func TestConfigValidate(t *testing.T) {
	if err := store.DefaultConfig().Validate(); err != nil {
		t.Error("the defaults:", err)
	}
	for names, spoil := range map[string]func(*store.Config){
		"writers":       func(c *store.Config) { c.Writers = 0 },
		"queue":         func(c *store.Config) { c.Queue = c.Lines - 1 },
		"lines":         func(c *store.Config) { c.Lines = -1 },
		"size":          func(c *store.Config) { c.Bytes = 10 },
		"age":           func(c *store.Config) { c.Age = 0 },
		"retry_longest": func(c *store.Config) { c.RetryMax = c.RetryInitial / 2 },
	} {
		c := store.DefaultConfig()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), names) {
			t.Errorf("%s: %v", names, err)
		}
		if _, err := store.NewPool(c, store.Deps{Writer: &fake{}, DeadLetters: &store.DeadLetters{}, Log: slog.Default()}); err == nil {
			t.Errorf("%s: a pool is made of it", names)
		}
	}
	if _, err := store.NewPool(store.DefaultConfig(), store.Deps{}); err == nil {
		t.Error("a pool is made of nothing")
	}
}

// TestReasonNames: they are metric labels, so each is there, once, in snake case.
func TestReasonNames(t *testing.T) {
	seen := make(map[string]bool)
	check := func(name string) {
		if name == "" || seen[name] || strings.ToLower(name) != name || strings.ContainsAny(name, " ()") {
			t.Errorf("label %q", name)
		}
		seen[name] = true
	}
	var stats store.Stats
	for i := range stats.Dropped {
		check(store.DropReason(i).String())
	}
	for i := range stats.DeadLettered {
		check(store.DeadReason(i).String())
	}
}
