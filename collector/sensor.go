package main

import (
	"github.com/spf13/cobra"

	"flowsensor/internal/collector"
)

// sensorCommand edits the drop-in folder beside the configuration.
func sensorCommand(config *string) *cobra.Command {
	group := &cobra.Command{
		Use: "sensor", Short: "Add, list, remove sensors, and change their keys", Args: cobra.NoArgs,
		Long: "Each sensor that these commands add has a file of its own in the folder sensors.d beside the configuration, and its key in\n" +
			"the folder keys. Files in sensors.d whose names end in .toml hold [[sensor]] tables as the configuration does, and may be written by hand\n" +
			"too. The running collector takes over what changed with `systemctl reload flow-collector`.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	group.AddCommand(addCommand(config), removeCommand(config), rotateCommand(config), &cobra.Command{
		Use: "list", Short: "List all sensors with their keys' fingerprints", Args: cobra.NoArgs,
		Long: "List the sensors of the configuration and its drop-ins, a line for each key. PROBLEM says why the collector would not\n" +
			"take a key file.",
		RunE: func(c *cobra.Command, _ []string) error { return collector.ListSensors(*config, c.OutOrStdout()) },
	})
	return group
}

func addCommand(config *string) *cobra.Command {
	var addresses []string
	var key collector.KeySource
	add := &cobra.Command{
		Use: "add ID", Short: "Let a sensor send", Args: cobra.ExactArgs(1),
		Long: "Copy the sensor's key into the folder of keys, readable by the service alone, and declare the sensor in a file of its\n" +
			"own. `flow-sensor enroll` on the sensor shows its id and what to type here. An id or a key that is there already is refused.",
		Example: "  ssh edge-1 sudo cat /etc/flow-sensor/keys/sensor-1.key | sudo flow-collector sensor add edge-1 --key-file -\n" +
			"  flow-collector sensor add edge-2 --key-file edge-2.key --address 192.0.2.0/24 --address 2001:db8::/32",
		RunE: func(c *cobra.Command, args []string) error {
			key.In = c.InOrStdin()
			return collector.AddSensor(*config, args[0], addresses, key, c.OutOrStdout())
		},
	}
	add.Flags().StringArrayVar(&addresses, "address", nil, "a `network` that the sensor may send from, may be repeated; without it any")
	keyFlags(add, &key)
	return add
}

func removeCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "Let a sensor send no more", Args: cobra.ExactArgs(1),
		Long: "Remove the sensor's file and its keys. What was acknowledged is stored; what the sensor still holds then is refused.",
		RunE: func(c *cobra.Command, args []string) error {
			return collector.RemoveSensor(*config, args[0], c.OutOrStdout())
		},
	}
}

func rotateCommand(config *string) *cobra.Command {
	var r collector.Rotation
	rotate := &cobra.Command{
		Use: "rotate ID", Short: "Change a sensor's key without losing a datagram", Args: cobra.ExactArgs(1),
		Long: "Put a new key before the old one, so that the collector takes both. When the sensor has the new key, --finish takes the old\n" +
			"one away. Each step says what to do next.",
		Example: "  flow-collector sensor rotate edge-1 --generate\n  flow-collector sensor rotate edge-1 --finish",
		RunE: func(c *cobra.Command, args []string) error {
			r.In = c.InOrStdin()
			return collector.RotateKey(*config, args[0], r, c.OutOrStdout())
		},
	}
	keyFlags(rotate, &r.KeySource)
	rotate.Flags().BoolVar(&r.Finish, "finish", false, "take the old key away")
	return rotate
}

func keyFlags(c *cobra.Command, key *collector.KeySource) {
	c.Flags().StringVar(&key.File, "key-file", "", "`file` with the key; - reads it from standard input")
	c.Flags().BoolVar(&key.Generate, "generate", false, "make a new key, to be brought to the sensor")
}
