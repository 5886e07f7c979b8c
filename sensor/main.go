// Command flow-sensor turns the packets of a mirror port into flow records and sends them to a collector.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"flowsensor/etc"
	"flowsensor/internal/cli"
	"flowsensor/internal/sensor"
)

func main() {
	os.Exit(cli.Execute(context.Background(), command(), os.Args[1:]))
}

// command is the whole command line.
func command() *cobra.Command {
	var config string
	root := cli.Root(cli.Program{
		Name:  "flow-sensor",
		Short: "Turn the packets of a mirror port into flow records",
		Long: "flow-sensor captures on the interfaces of its configuration, accounts every packet in a flow record or under a\n" +
			"named reason, and sends the records to a flow-collector, encrypted and authenticated.",
		Config:  sensor.DefaultPath,
		Example: etc.SensorTOML,
	}, &config)
	root.AddCommand(
		runCommand(&config), checkCommand(&config), statusCommand(&config), topCommand(&config),
		doctorCommand(&config), readCommand(&config),
		interfacesCommand(), gatewaysCommand(), keygenCommand(), enrollCommand(&config),
	)
	return root
}

// interruptible gives a context that ends with SIGINT or SIGTERM, for the commands that are not the daemon.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	return ctx, stop
}
