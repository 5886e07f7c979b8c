package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"flowsensor/internal/capture"
)

func interfacesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "interfaces", Short: "List the interfaces that can be captured on", Args: cobra.NoArgs,
		Long: "List the network interfaces with what matters to a capture. CAPTURE says how their frames begin, or why they cannot\n" +
			"be captured on; MERGES names the offloads that merge packets before a capture sees them.",
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := capture.Interfaces()
			if err != nil {
				return err
			}
			return table(c.OutOrStdout(), "INDEX\tNAME\tSTATE\tTYPE\tDRIVER\tMTU\tMAC\tMERGES\tCAPTURE\tADDRESSES", func(row rowFunc) {
				for _, i := range all {
					ability := i.LinkType.String()
					if i.Refusal != nil {
						ability = i.Refusal.Error()
					}
					row(i.Index, i.Name, i.State, i.Type, i.Driver, i.MTU, i.MAC, merges(i.Offloads), ability, joined(i.Addresses))
				}
			})
		},
	}
}

func gatewaysCommand() *cobra.Command {
	return &cobra.Command{
		Use: "gateways", Short: "List the next hops of this machine's routes", Args: cobra.NoArgs,
		Long: "List the default routes and all routes over a gateway: which way traffic leaves this machine.",
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := capture.Gateways()
			if err != nil {
				return err
			}
			return table(c.OutOrStdout(), "DESTINATION\tVIA\tINTERFACE\tMETRIC\tTABLE", func(row rowFunc) {
				for _, g := range all {
					via := "link"
					if g.Via.IsValid() {
						via = g.Via.String()
					}
					row(g.Destination, via, g.Interface, g.Metric, g.Table)
				}
			})
		},
	}
}

// rowFunc adds a row; an empty cell shows as a hyphen.
type rowFunc func(cells ...any)

// table prints aligned columns.
func table(out io.Writer, head string, fill func(rowFunc)) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	_, err := fmt.Fprintln(w, head)
	fill(func(cells ...any) {
		texts := make([]string, len(cells))
		for i, c := range cells {
			if texts[i] = fmt.Sprint(c); texts[i] == "" {
				texts[i] = "-"
			}
		}
		if err == nil {
			_, err = fmt.Fprintln(w, strings.Join(texts, "\t"))
		}
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

// merges names the offloads that are on.
func merges(o capture.Offloads) string {
	var on []string
	if o.GRO == capture.On {
		on = append(on, "gro")
	}
	if o.LRO == capture.On {
		on = append(on, "lro")
	}
	return strings.Join(on, ",")
}

func joined[T fmt.Stringer](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ",")
}
