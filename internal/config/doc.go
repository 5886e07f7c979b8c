// Package config reads TOML strictly: every refusal names file, line, key and what was expected.
//
// It knows no key of its own. A program hands in a struct filled with its defaults, gets it overwritten by the file, and
// states its own conditions through Document.Check, so that all of them are reported at once. Unknown keys, keys in another case,
// durations and sizes without a unit and negative sizes are errors. Nothing here keeps secrets: configuration files hold
// none, only the names of the files that do.
package config
