package main

import (
	"fmt"
	"strings"

	"flowsensor/etc"
	"flowsensor/internal/collector"
	"flowsensor/internal/config"
	"flowsensor/internal/metrics"
	"flowsensor/internal/sensor"
)

const generated = "<!-- Written by `make reference` from the source: change it there. -->\n"

// pages gives all references by the name of their file.
func pages() map[string]string {
	return map[string]string{"metrics.md": metricsPage(), "configuration.md": configurationPage()}
}

func metricsPage() string {
	var b strings.Builder
	b.WriteString(generated + `# Metrics

Served as Prometheus text at ` + "`/metrics`" + ` of the address in ` + "`[http] listen`" + `, beside those of the Go runtime (` + "`go_`" + `) and of the process
(` + "`process_`" + `). A name that ends in ` + "`_total`" + ` is a counter, which starts at zero with the process; any other is a gauge. Those that belong
to a part that is not configured are absent.
`)
	metricsTable(&b, "flow-sensor", sensor.Metrics())
	metricsTable(&b, "flow-collector", collector.Metrics())
	return b.String()
}

func metricsTable(b *strings.Builder, program string, defs []metrics.Def) {
	fmt.Fprintf(b, "\n## %s\n\n| metric | labels | meaning |\n| --- | --- | --- |\n", program)
	namespace := strings.ReplaceAll(program, "-", "_") + "_"
	for _, d := range defs {
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", namespace, d.Name, strings.Join(d.Labels, ", "), cell(d.Help))
	}
}

// cell keeps a text inside its cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func configurationPage() string {
	var b strings.Builder
	b.WriteString(generated + `# Configuration

Each program reads one TOML file; flow-collector also ` + "`sensors.d/*.toml`" + ` beside it, which hold [[sensor]] tables and nothing else. Each key
stands here with its default, or with an example where it says that it must be set. An unknown key, a value out of its bounds, a size or
a duration without its unit is refused with file and line; ` + "`check`" + ` says all of them at once and prints the effective configuration.
`)
	configuration(&b, "flow-sensor", sensor.DefaultPath, etc.SensorTOML)
	configuration(&b, "flow-collector", collector.DefaultPath, etc.CollectorTOML)
	return b.String()
}

func configuration(b *strings.Builder, program, path, example string) {
	fmt.Fprintf(b, "\n## %s: %s\n", program, path)
	for _, section := range config.Describe(example) {
		if section.Name != "" {
			fmt.Fprintf(b, "\n### `%s`\n", section.Name)
		}
		if section.Text != "" {
			fmt.Fprintf(b, "\n%s\n", section.Text)
		}
		for _, item := range section.Items {
			describe(b, item)
		}
	}
}

// describe writes keys that share a description as one entry of a list.
func describe(b *strings.Builder, item config.Item) {
	keys := make([]string, len(item.Settings))
	for i, s := range item.Settings {
		keys[i] = "`" + s.Key + " = " + s.Value + "`"
	}
	fmt.Fprintf(b, "\n- %s", strings.Join(keys, ", "))
	if item.Text != "" {
		fmt.Fprintf(b, "  \n  %s", strings.ReplaceAll(item.Text, "\n", "\n  "))
	}
	b.WriteString("\n")
}
