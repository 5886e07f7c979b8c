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
		Use: "man DIRECTORY OPERATION", Short: "Write the manual pages", Args: cobra.ExactArgs(2), Hidden: true,
		Long: "Write the manual pages: the commands (1), the configuration (5), and the daemon (8) with the text of the file OPERATION.",
		RunE: func(c *cobra.Command, args []string) error {
			operation, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			for name, write := range map[string]func(io.Writer) error{
				p.Name + ".1":      func(out io.Writer) error { return commandPage(out, p, c.Root()) },
				p.Name + ".toml.5": func(out io.Writer) error { return configPage(out, p) },
				p.Name + ".8":      func(out io.Writer) error { return daemonPage(out, p, c.Root(), string(operation)) },
			} {
				if err := writePage(filepath.Join(args[0], name), write); err != nil {
					return err
				}
			}
			return nil
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

// title begins a page.
func (r *roff) title(p Program, section, class, short string) {
	r.macro("TH", strings.ToUpper(p.Name), section, "", p.Name+" "+build.Version(), class)
	r.macro("SH", "NAME")
	r.line(escape(p.Name) + ` \- ` + escape(sentence(short)))
	r.macro("SH", "SYNOPSIS")
}

// commandPage is the page of section 1: the program and each of its commands.
func commandPage(out io.Writer, p Program, root *cobra.Command) error {
	r := &roff{out: out}
	r.title(p, "1", "User Commands", p.Short)
	r.line(strong(p.Name) + ` [\fIOPTION\fR...] \fICOMMAND\fR [\fIARGUMENT\fR...]`)
	r.macro("SH", "DESCRIPTION")
	r.text(p.Long)
	r.macro("SH", "COMMANDS")
	r.commands(root)
	r.macro("SS", "completion SHELL")
	r.text("Print the completion script for bash, zsh, fish or powershell. The packages install the first three.")
	r.macro("SH", "OPTIONS")
	r.flags(root.PersistentFlags())
	r.item("Say what the program or the command takes, and exit.", `\fB\-h\fR, \fB\-\-help\fR`)
	r.exits()
	r.also(p, strong(p.Name+".toml")+"(5)", strong(p.Name)+"(8)")
	return r.err
}

// daemonPage is the page of section 8: the service, and how it is operated.
func daemonPage(out io.Writer, p Program, root *cobra.Command, operation string) error {
	r := &roff{out: out}
	r.title(p, "8", "System Administration", p.Short)
	r.line(strong(p.Name) + ` [` + strong("--config") + `=\fIFILE\fR] ` + strong("run"))
	r.line(".br\n" + strong("systemctl") + ` \fICOMMAND\fR ` + strong(p.Name))
	r.macro("SH", "DESCRIPTION")
	r.text(p.Long)
	if run, _, err := root.Find([]string{"run"}); err == nil {
		r.line(".PP")
		r.text(run.Long)
	}
	r.line(".PP")
	r.text(fmt.Sprintf("This page tells how the service is operated; %s(1) has all commands.", p.Name))
	r.markdown(operation)
	r.exits()
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
	r.item("The socket of the running service, for root and the service's group: HTTP, GET /status gives JSON.", strong("/run/"+p.Name+"/status.sock"))
	r.also(p, strong(p.Name)+"(1)", strong(p.Name+".toml")+"(5)")
	return r.err
}

// commands writes the commands below one, those of groups too.
func (r *roff) commands(group *cobra.Command) {
	for _, c := range group.Commands() {
		switch {
		case c.Hidden || c.Name() == "help" || c.Name() == "completion":
		case c.HasSubCommands():
			r.macro("SS", commandLine(c))
			r.text(c.Long)
			r.commands(c)
		default:
			r.command(c)
		}
	}
}

func commandLine(c *cobra.Command) string {
	return strings.TrimPrefix(c.UseLine(), c.Root().Name()+" ")
}

// command writes one command with its own flags and examples.
func (r *roff) command(c *cobra.Command) {
	r.macro("SS", commandLine(c))
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

// exits writes the exit statuses of both programs.
func (r *roff) exits() {
	r.macro("SH", "EXIT STATUS")
	r.item("It did what it was told.", strong("0"))
	r.item("It failed at run time, where another try may succeed: the unit starts it again.", strong("1"))
	r.item("The configuration or the command line is wrong: the same again would fail the same way.", strong("2"))
}

// also ends a page with other pages.
func (r *roff) also(p Program, pages ...string) {
	r.macro("SH", "SEE ALSO")
	for _, other := range []string{"flow-sensor", "flow-collector"} {
		if other != p.Name {
			pages = append(pages, strong(other)+"(8)")
		}
	}
	r.line(strings.Join(append(pages, strong("systemctl")+"(1)", strong("journalctl")+"(1)"), ",\n"))
}

// sentence gives a one-line description as manual pages have it: beginning with a small letter.
func sentence(short string) string {
	return strings.ToLower(short[:1]) + short[1:]
}
