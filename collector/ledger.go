package main

import (
	"github.com/spf13/cobra"

	"flowsensor/internal/collector"
)

func ledgerCommand(config *string) *cobra.Command {
	var o collector.StatusOptions
	var raw bool
	c := &cobra.Command{
		Use: "ledger", Short: "Show where the packets of each sensor are", Args: cobra.NoArgs,
		Long: "Ask the running collector over its socket for what the sensors last reported, and print it as a sum: each packet that a\n" +
			"ring received is in a record, in a table, refused by a named reason, or lost at a named place; each packet in a record is\n" +
			"settled, kept by the sensor, or dropped by a named reason. A sensor reports every 10 s; the measurement flow_sensor has the\n" +
			"same for all times.",
		Example: "  flow-collector ledger\n" +
			"  flow-collector ledger --json | jq '.sensors[] | {id, dropped: .whole.dropped_packets}'",
		RunE: func(c *cobra.Command, _ []string) error {
			o.Config, o.Out = *config, c.OutOrStdout()
			if raw {
				return collector.ShowLedgerJSON(c.Context(), o)
			}
			return collector.ShowLedger(c.Context(), o)
		},
	}
	c.Flags().BoolVar(&raw, "json", false, "print JSON")
	c.Flags().StringVar(&o.Socket, "socket", "", "ask the daemon at this `socket` instead of the configuration's")
	return c
}
