package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"flowsensor/internal/build"
	"flowsensor/internal/config"
)

// configPage is the page of section 5, made from the example configuration, which holds every key.
func configPage(out io.Writer, p Program) error {
	r := &roff{out: out}
	r.macro("TH", strings.ToUpper(p.Name)+".TOML", "5", "", p.Name+" "+build.Version(), "File Formats")
	r.macro("SH", "NAME")
	r.line(escape(p.Name+".toml") + ` \- configuration of ` + escape(p.Name))
	r.macro("SH", "SYNOPSIS")
	r.line(strong(p.Config))
	r.macro("SH", "DESCRIPTION")
	r.text(fmt.Sprintf("A TOML file (https://toml.io/en/v1.0.0). Each key stands here with its default, or with an example where it says that it must be set; "+
		"tables that are not there by default are examples. "+
		"A key that is unknown is an error with its line, and so is a value out of its bounds: `%s check` says all of them at once. "+
		"Sizes are texts such as \"64MiB\", durations such as \"1m30s\".", p.Name))
	for _, section := range config.Describe(p.Example) {
		name := section.Name
		if name == "" {
			name = "TOP LEVEL"
		}
		r.macro("SH", name)
		r.text(section.Text)
		for _, item := range section.Items {
			tags := make([]string, len(item.Settings))
			for i, setting := range item.Settings {
				tags[i] = strong(setting.Key) + " = " + escape(setting.Value)
			}
			r.item(item.Text, tags...)
		}
	}
	r.macro("SH", "FILES")
	r.line(strong(p.Config))
	r.macro("SH", "SEE ALSO")
	r.line(strong(p.Name) + "(8)")
	if r.err != nil {
		return fmt.Errorf("manual of %s: %w", filepath.Base(p.Config), r.err)
	}
	return nil
}
