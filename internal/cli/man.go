package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flowsensor/internal/build"
)

// manCommand writes the manual, for the packages: the pages always describe the very binary that wrote them.
func manCommand(p Program) *cobra.Command {
	return &cobra.Command{
		Use: "man DIRECTORY", Short: "Write the manual pages", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			err := writePage(filepath.Join(args[0], p.Name+".8"), func(out io.Writer) error { return commandPage(out, p, c.Root()) })
			if err != nil {
				return err
			}
			return writePage(filepath.Join(args[0], p.Name+".toml.5"), func(out io.Writer) error { return configPage(out, p) })
		},
	}
}

func writePage(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// commandPage is the page of section 8: the program, and each of its commands.
func commandPage(out io.Writer, p Program, root *cobra.Command) error {
	r := &roff{out: out}
	r.macro("TH", strings.ToUpper(p.Name), "8", "", p.Name+" "+build.Version(), "System Administration")
	r.macro("SH", "NAME")
	r.line(escape(p.Name) + ` \- ` + escape(sentence(p.Short)))
	r.macro("SH", "SYNOPSIS")
	r.line(strong(p.Name) + ` [\fIOPTION\fR...] \fICOMMAND\fR [\fIARGUMENT\fR...]`)
	r.macro("SH", "DESCRIPTION")
	r.text(p.Long)
	r.macro("SH", "COMMANDS")
	for _, c := range root.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		r.command(c)
	}
	r.macro("SS", "completion SHELL")
	r.text("Print the completion script for bash, zsh, fish or powershell. The packages install the first three.")
	r.macro("SH", "OPTIONS")
	r.flags(root.PersistentFlags())
	r.item("Say what the program or the command takes, and exit.", `\fB\-h\fR, \fB\-\-help\fR`)
	r.common(p)
	return r.err
}

// command writes one command with its own flags and examples.
func (r *roff) command(c *cobra.Command) {
	r.macro("SS", strings.TrimPrefix(c.UseLine(), c.Root().Name()+" "))
	if c.Long != "" {
		r.text(c.Long)
	} else {
		r.text(c.Short + ".")
	}
	r.flags(c.LocalNonPersistentFlags())
	if c.Example != "" {
		r.line(".PP\nExamples:")
		r.text(c.Example)
	}
}

// flags writes a list of options, in the order of their names.
func (r *roff) flags(set *pflag.FlagSet) {
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		tag := strong("--" + f.Name)
		if f.Shorthand != "" {
			tag = strong("-"+f.Shorthand) + ", " + tag
		}
		name, usage := pflag.UnquoteUsage(f)
		if name != "" {
			tag += `=\fI` + escape(name) + `\fR`
		}
		usage = strings.ToUpper(usage[:1]) + usage[1:]
		switch f.DefValue {
		case "", "false", "0", "0s":
			usage += "."
		default:
			usage += fmt.Sprintf(" (default %s).", f.DefValue)
		}
		r.item(usage, tag)
	})
}

// common writes what both programs share.
func (r *roff) common(p Program) {
	r.macro("SH", "EXIT STATUS")
	r.item("It did what it was told.", strong("0"))
	r.item("It failed at run time, where another try may succeed: the unit starts it again.", strong("1"))
	r.item("The configuration or the command line is wrong: the same again would fail the same way.", strong("2"))
	r.macro("SH", "SIGNALS")
	r.item("Stop in order: nothing that was taken in is left behind without being counted. A second one cuts that short.",
		strong("SIGTERM")+", "+strong("SIGINT"))
	r.item("Read the configuration again. What cannot change at run time is named in the log; a configuration with an error changes nothing.",
		strong("SIGHUP"))
	r.macro("SH", "FILES")
	r.item("The configuration; see "+p.Name+".toml(5).", strong(p.Config))
	r.item("Key files: owner root, mode 0640, the service's group. Refused when others can read them.",
		strong(filepath.Join(filepath.Dir(p.Config), "keys")+"/"))
	r.item("What must survive a restart.", strong("/var/lib/"+p.Name+"/"))
	r.macro("SH", "SEE ALSO")
	others := []string{strong(p.Name+".toml") + "(5)"}
	for _, other := range []string{"flow-sensor", "flow-collector"} {
		if other != p.Name {
			others = append(others, strong(other)+"(8)")
		}
	}
	r.line(strings.Join(append(others, strong("systemctl")+"(1)", strong("journalctl")+"(1)"), ",\n"))
}

// sentence gives a one-line description as manual pages have it: beginning with a small letter.
func sentence(short string) string {
	return strings.ToLower(short[:1]) + short[1:]
}
