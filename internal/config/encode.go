package config

import (
	"io"

	"github.com/BurntSushi/toml"
)

// Write prints v as TOML that Parse reads back: the effective configuration, defaults included.
func Write(w io.Writer, v any) error {
	e := toml.NewEncoder(w)
	e.Indent = ""
	return e.Encode(v)
}
