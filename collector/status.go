package main

import (
	"github.com/spf13/cobra"

	"flowsensor/internal/collector"
)

func statusCommand(config *string) *cobra.Command {
	var o collector.StatusOptions
	var raw bool
	c := &cobra.Command{
		Use: "status", Short: "Show the figures of the running collector", Args: cobra.NoArgs,
		Long: "Ask the running collector over its socket below /run and print what it counts: each sensor with its last datagram,\n" +
			"clock and refusals, the journal's depth and age, and what was written, repeated and set aside. Root and the members of\n" +
			"the service's group may ask. --json prints the answer as it came: GET /status over HTTP on the socket gives the same,\n" +
			"with names that stay as long as its version does.",
		Example: "  flow-collector status\n" +
			"  flow-collector status --json | jq '.sensors[] | select(.silent_for_seconds > 60).id'",
		RunE: func(c *cobra.Command, _ []string) error {
			o.Config, o.Out = *config, c.OutOrStdout()
			if raw {
				return collector.ShowStatusJSON(c.Context(), o)
			}
			return collector.ShowStatus(c.Context(), o)
		},
	}
	c.Flags().BoolVar(&raw, "json", false, "print JSON")
	c.Flags().StringVar(&o.Socket, "socket", "", "ask the daemon at this `socket` instead of the configuration's")
	return c
}
