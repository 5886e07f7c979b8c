// Package cli is what the command lines of both programs share: the root, the exit statuses, and the commands that both have.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"flowsensor/internal/build"
	"flowsensor/internal/daemon"
)

// Program describes one of the two programs.
type Program struct {
	Name    string // flow-sensor
	Short   string // one line
	Long    string // what it does, for the help and the manual page
	Config  string // the default path of its configuration
	Example string // the commented configuration that `init` writes
}

// Root makes the root command with the commands that both programs have: init, man and version. Completions come with cobra. The path
// of the configuration stands in *config once the flags are parsed.
func Root(p Program, config *string) *cobra.Command {
	root := &cobra.Command{
		Use: p.Name, Short: p.Short, Long: p.Long,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.PersistentFlags().StringVarP(config, "config", "c", p.Config, "configuration file")
	_ = root.MarkPersistentFlagFilename("config", "toml") // fails for an unknown flag only
	root.AddCommand(initCommand(p), manCommand(p), versionCommand(p.Name))
	return root
}

// Execute runs the command line and gives the exit status. Errors go to stderr, a line each, prefixed with the program's name.
func Execute(ctx context.Context, root *cobra.Command, args []string) int {
	started := false
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return daemon.ExitOK
	}
	text, status := fmt.Sprintf("%s: %v\n", root.Name(), err), daemon.ExitCode(err)
	if !started { // cobra refused the command line before any of our code ran
		at := root
		if found, _, err := root.Find(args); err == nil {
			at = found
		}
		if at != root {
			text += fmt.Sprintf("Usage: %s\n", at.UseLine())
		}
		text += fmt.Sprintf("Try '%s --help'.\n", at.CommandPath())
		status = daemon.ExitConfig
	}
	_, _ = daemon.WriteError(root.ErrOrStderr(), text) // nowhere is left to report to
	return status
}

func versionCommand(name string) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), build.Info(name))
			return err
		},
	}
}

func initCommand(p Program) *cobra.Command {
	return &cobra.Command{
		Use: "init [FILE]", Short: "Write a commented configuration",
		Long: "Write a configuration that sets every key to its default, each with its meaning, to FILE, or to the path of\n" +
			"--config when none is given; - is standard output. A file that exists is never overwritten.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := c.Flags().GetString("config")
			if err != nil {
				return err
			}
			if len(args) == 1 {
				path = args[0]
			}
			if path == "-" {
				_, err := fmt.Fprint(c.OutOrStdout(), p.Example)
				return err
			}
			if err := writeNew(path, p.Example); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "wrote %s\n", path)
			return err
		},
	}
}

// writeNew writes a file that must not exist yet. Configurations hold no secrets, so everyone may read them.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return daemon.ConfigError{Err: fmt.Errorf("%s exists and is left as it is: move it away first", path)}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: make the folder first, or name another file: init FILE", err)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
