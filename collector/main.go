// Command flow-collector receives the flow records of sensors and writes them to InfluxDB or to line-protocol files.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"flowsensor/etc"
	"flowsensor/internal/cli"
	"flowsensor/internal/collector"
)

func main() {
	os.Exit(cli.Execute(context.Background(), command(), os.Args[1:]))
}

// command is the whole command line.
func command() *cobra.Command {
	var config string
	root := cli.Root(cli.Program{
		Name:  "flow-collector",
		Short: "Receive flow records from sensors and store them",
		Long: "flow-collector receives the datagrams of flow-sensors over UDP, opens and validates them, and writes the flow records\n" +
			"as line protocol to InfluxDB (v1, v2, v3) or to files that InfluxDB imports.",
		Config:  collector.DefaultPath,
		Example: etc.CollectorTOML,
	}, &config)
	root.AddCommand(
		&cobra.Command{
			Use: "run", Short: "Receive and store until told to stop", Args: cobra.NoArgs,
			Long: "Receive flow records and store them until SIGTERM or SIGINT; SIGHUP reads sensors, keys and\n" +
				"credentials again, and networks, roles and roll-ups; other changes need a restart, and the log says so.",
			RunE: func(c *cobra.Command, _ []string) error { return collector.Run(c.Context(), config) },
		},
		&cobra.Command{
			Use: "check", Short: "Validate the configuration and print the effective one", Args: cobra.NoArgs,
			Long: "Read the configuration and the key files, check them and print the configuration with all defaults filled in.\n" +
				"Nothing is received or written.",
			RunE: func(c *cobra.Command, _ []string) error { return collector.Check(config, c.OutOrStdout()) },
		},
		statusCommand(&config), ledgerCommand(&config),
	)
	root.AddCommand(sensorCommand(&config))
	return root
}
