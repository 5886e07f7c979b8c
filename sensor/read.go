package main

import (
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flowsensor/internal/sensor"
)

func readCommand(config *string) *cobra.Command {
	var o struct {
		send, ledger, quiet, dns bool
		filter                   string
		active, inactive         time.Duration
		maxFlows                 int
	}
	c := &cobra.Command{
		Use: "read FILE...", Short: "Turn capture files into flow records", Args: cobra.MinimumNArgs(1),
		Long: "Read capture files (pcap or pcapng, gzipped or not; - is standard input) with the same decoder and flow table as the\n" +
			"daemon, by the time of capture, and print a JSON object a flow, or send the flows to the collector. Without a\n" +
			"configuration file at the default path the defaults apply.",
		Example: "  flow-sensor read --ledger capture.pcap | jq .\n" +
			"  tcpdump -i eth0 -U -w - | flow-sensor read -\n" +
			"  flow-sensor read --send --config sensor.toml day-*.pcap.gz",
		RunE: func(c *cobra.Command, files []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			options := sensor.ReadOptions{
				Config: *config, Asked: c.Flags().Changed("config"), Files: files, Filter: o.filter,
				Flows: sensor.FlowsOverride{
					Active: given(c.Flags(), "active-timeout", &o.active), Inactive: given(c.Flags(), "inactive-timeout", &o.inactive),
					MaxFlows: given(c.Flags(), "max-flows", &o.maxFlows),
				},
			}
			options.DNS = o.dns
			if !o.send {
				options.Out = c.OutOrStdout()
			}
			if o.ledger {
				options.Ledger = c.ErrOrStderr()
			}
			if !o.quiet {
				options.Progress = terminal(os.Stderr)
			}
			return sensor.ReadFiles(ctx, options)
		},
	}
	c.Flags().BoolVar(&o.send, "send", false, "send the flows to the collector of the configuration instead of printing them")
	c.Flags().BoolVar(&o.dns, "dns", false, "give out DNS answers, too, as objects with the key dns; as with dns.enabled")
	c.Flags().BoolVar(&o.ledger, "ledger", false, "print the account of every packet and byte as JSON on stderr")
	c.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "show no progress on a terminal")
	c.Flags().StringVar(&o.filter, "filter", "", "take only packets that match this tcpdump expression")
	c.Flags().DurationVar(&o.active, "active-timeout", 0, "override flows.active_timeout")
	c.Flags().DurationVar(&o.inactive, "inactive-timeout", 0, "override flows.inactive_timeout")
	c.Flags().IntVar(&o.maxFlows, "max-flows", 0, "override flows.max_flows")
	return c
}

// given gives a flag's value where the command line has the flag.
func given[T any](flags *pflag.FlagSet, name string, value *T) *T {
	if flags.Changed(name) {
		return value
	}
	return nil
}

// terminal gives the file when a person watches it, nil otherwise.
func terminal(f *os.File) io.Writer {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return f
}
