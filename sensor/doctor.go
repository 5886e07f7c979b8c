package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flowsensor/internal/daemon"
	"flowsensor/internal/doctor"
	"flowsensor/internal/sensor"
)

func doctorCommand(config *string) *cobra.Command {
	var raw bool
	var socket, failOn string
	c := &cobra.Command{
		Use: "doctor", Short: "Look over this machine and say what to do", Args: cobra.NoArgs,
		Long: "Look over the machine as an expert would: the service, its privilege and the kernel, each interface with its offloads,\n" +
			"queues, interrupts, MTU and losses, memory and cores, key and disk, the clock, and the collector, which is asked for its\n" +
			"time with the sensor's id and key. Each check is ok, skipped, a warning or a problem; what is not well has a line that\n" +
			"says what to do. Nothing is changed. It takes some seconds, because losses are watched for growing. Run it as root, or as\n" +
			"the service's user; what a user may not see is skipped.\n\n" +
			"The exit status is for monitoring: 0 where there is neither warning nor problem, 1 where there is (with --fail-on=problem\n" +
			"for problems alone), 2 where the configuration is wrong. --json prints a report whose names stay as long as its version does.",
		Example: "  flow-sensor doctor\n" +
			"  flow-sensor doctor --json --fail-on=problem | jq '.checks[] | select(.state == \"problem\")'",
		RunE: func(c *cobra.Command, _ []string) error {
			least := doctor.Warning
			switch failOn {
			case doctor.Warning.String():
			case doctor.Problem.String():
				least = doctor.Problem
			default:
				return daemon.ConfigError{Err: fmt.Errorf("--fail-on: %q: want %q or %q", failOn, doctor.Warning, doctor.Problem)}
			}
			ctx, stop := interruptible(c.Context())
			defer stop()
			asked := sensor.StatusOptions{Socket: socket, Config: *config}
			results := doctor.Examine(ctx, doctor.NewMachine(asked.SocketPath()), *config)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			write := doctor.Write
			if raw {
				write = doctor.WriteJSON
			}
			if err := write(c.OutOrStdout(), results); err != nil {
				return err
			}
			return doctor.Verdict(results, least)
		},
	}
	c.Flags().BoolVar(&raw, "json", false, "print JSON")
	c.Flags().StringVar(&failOn, "fail-on", doctor.Warning.String(), "the least `state` that makes the exit status 1: warning or problem")
	c.Flags().StringVar(&socket, "socket", "", socketHelp)
	return c
}
