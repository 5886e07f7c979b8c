package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"flowsensor/internal/sensor"
)

const socketHelp = "ask the daemon at this `socket` instead of the configuration's"

func statusCommand(config *string) *cobra.Command {
	var socket string
	var raw bool
	c := &cobra.Command{
		Use: "status", Short: "Show the figures of the running sensor", Args: cobra.NoArgs,
		Long: "Ask the running sensor over its socket below /run and print what it counts: interfaces, packets, flows, records, and\n" +
			"what was dropped where. Root and the members of the service's group may ask. --config names the instance:\n" +
			"that of flow-sensor@dmz is /etc/flow-sensor/dmz.toml. --json prints the answer as it came: GET /status over HTTP on\n" +
			"the socket gives the same, with names that stay as long as its version does.",
		Example: "  flow-sensor status\n" +
			"  flow-sensor status --json | jq .ledger\n" +
			"  curl -s --unix-socket /run/flow-sensor/status.sock http://localhost/top?flows=10",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			o := sensor.StatusOptions{Socket: socket, Config: *config, Out: c.OutOrStdout()}
			if raw {
				return sensor.ShowStatusJSON(ctx, o)
			}
			return sensor.ShowStatus(ctx, o)
		},
	}
	c.Flags().BoolVar(&raw, "json", false, "print JSON")
	c.Flags().StringVar(&socket, "socket", "", socketHelp)
	return c
}

func topCommand(config *string) *cobra.Command {
	var o sensor.TopOptions
	c := &cobra.Command{
		Use: "top", Short: "Watch packets, bits, flows and drops of the running sensor", Args: cobra.NoArgs,
		Long: "Show what passes now, renewed each second: packets and bits a second, active flows, what is dropped where, and the\n" +
			"flows with the most bits a second, each as the mean over its current record (flows.active_timeout at most). Without a\n" +
			"terminal it prints one such picture and ends. To look for the flows costs the sensor some 5 ns for each flow it\n" +
			"holds, between two blocks of packets, and only while somebody asks.",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			o.Config, o.Out, o.Screen = *config, c.OutOrStdout(), sensor.NewScreen(os.Stdout)
			if o.Screen == nil && !c.Flags().Changed("count") {
				o.Count = 1
			}
			return sensor.ShowTop(ctx, o)
		},
	}
	c.Flags().StringVar(&o.Socket, "socket", "", socketHelp)
	c.Flags().DurationVar(&o.Interval, "interval", time.Second, "time from picture to picture")
	c.Flags().IntVar(&o.Flows, "flows", 20, "how many flows are shown, 100 at most")
	c.Flags().IntVar(&o.Count, "count", 0, "end after so many pictures; 0 is never, but 1 without a terminal")
	return c
}
