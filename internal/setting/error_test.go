package setting_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"flowsensor/internal/setting"
)

func TestPartsAndKeys(t *testing.T) {
	small, plain := setting.Errorf("size", "too small"), errors.New("the disk is full")
	for name, c := range map[string]struct {
		err  error
		want []string // in [journal]
	}{
		"one":                               {small, []string{"journal.size: too small"}},
		"keyless":                           {plain, []string{"journal: the disk is full"}},
		"joined":                            {errors.Join(small, plain, setting.Errorf("age", "too old")), []string{"journal.size: too small", "journal: the disk is full", "journal.age: too old"}},
		"nested":                            {errors.Join(errors.Join(small), plain), []string{"journal.size: too small", "journal: the disk is full"}},
		"wrapped":                           {fmt.Errorf("open: %w", errors.Join(small, plain)), []string{"journal.size: too small", "journal: the disk is full"}},
		"keyless parts are not taken apart": {errors.Join(plain, plain), []string{"journal: the disk is full\nthe disk is full"}},
		"within a key":                      {setting.KeyError{Key: "size", Err: errors.Join(plain, small)}, []string{"journal.size: the disk is full\nsize: too small"}},
	} {
		var got []string
		for _, part := range setting.Parts(setting.In("journal", c.err)) {
			got = append(got, part.Error())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if err := setting.In("journal", nil); err != nil {
		t.Errorf("nil became %v", err)
	}
	if err := setting.In("", small); !errors.Is(err, small) {
		t.Errorf("got %v", err)
	}
}
