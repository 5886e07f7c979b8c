// Package etc holds the example configurations: what the packages install in /etc and what `init` writes. They set
// every key to its default and are parsed by a test of each assembly.
package etc

import _ "embed"

// SensorTOML is the commented configuration of flow-sensor.
//
//go:embed sensor.toml
var SensorTOML string

// CollectorTOML is the commented configuration of flow-collector.
//
//go:embed collector.toml
var CollectorTOML string
