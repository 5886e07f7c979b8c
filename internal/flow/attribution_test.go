package flow_test

import (
	"fmt"
	"testing"

	"flowsensor/internal/flow"
)

func TestAttributionWords(t *testing.T) {
	networks := flow.Networks{{Name: flow.UnknownNetworkName}, {Name: "office", Ours: true}}
	for got, want := range map[string]string{
		networks.Name(flow.UnknownNetwork): "unknown", networks.Name(1): "office", networks.Name(2): "unknown",
		flow.Networks(nil).Name(0): "unknown",
		fmt.Sprint(flow.ClassNone): "none", fmt.Sprint(flow.ClassHigh): "high", fmt.Sprint(flow.ServiceClass(443)): "443",
		fmt.Sprint(flow.ServiceClass(65535)): "65535",
		fmt.Sprint(flow.Direction(0)):        "unknown", fmt.Sprint(flow.DirectionTransit): "transit",
		fmt.Sprint(flow.Direction(9)): "Direction(9)",
		fmt.Sprint(flow.Evidence(0)):  "none", fmt.Sprint(flow.EvidenceTie): "tie", fmt.Sprint(flow.Evidence(9)): "Evidence(9)",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
