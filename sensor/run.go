package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flowsensor/internal/sensor"
)

func runCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Capture and export until told to stop", Args: cobra.NoArgs,
		Long: "Capture on the configured interfaces and send flow records until SIGTERM or SIGINT; SIGHUP reads the key again.\n" +
			"Under systemd it reports when it captures, what it does, and that every worker makes progress.",
		RunE: func(c *cobra.Command, _ []string) error { return sensor.Run(c.Context(), *config) },
	}
}

func checkCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Validate the configuration and print the effective one", Args: cobra.NoArgs,
		Long: "Read the configuration, check it against this machine (key, interfaces, filters, memory) and print it with all\n" +
			"defaults filled in. Nothing is captured or sent.",
		RunE: func(c *cobra.Command, _ []string) error {
			return sensor.Check(c.Context(), *config, c.OutOrStdout())
		},
	}
}

func keygenCommand() *cobra.Command {
	return &cobra.Command{
		Use: "keygen", Short: "Make a key and print it", Args: cobra.NoArgs,
		Long: "Make a Fernet key and print it. Sensor and collector each need it in a file that others cannot read:\n" +
			"  (umask 077; flow-sensor keygen > sensor-1.key)",
		RunE: func(c *cobra.Command, _ []string) error {
			key, err := sensor.GenerateKey()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), key)
			return err
		},
	}
}

func enrollCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use: "enroll", Short: "Print what the collector needs to know of this sensor", Args: cobra.NoArgs,
		Long: "Print this sensor's [[sensor]] table for the collector, the fingerprint of its key, and the command that brings the key\n" +
			"there. The key itself is never printed: it stays in its file until that command copies it. `flow-collector sensor add` shows\n" +
			"the fingerprint of what arrived.",
		RunE: func(c *cobra.Command, _ []string) error { return sensor.Enroll(*config, c.OutOrStdout()) },
	}
}
