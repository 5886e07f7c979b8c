package store_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowsensor/internal/flow"
	"flowsensor/internal/store"
)

func TestReadings(t *testing.T) {
	readings := []flow.Reading{
		{Name: "pending_records", Value: 3},
		{Name: "records", Value: 9},
		{Subject: "eth0", Name: "accounted", Value: -1},
		{Subject: "eth 1", Name: "accounted", Value: 2},
	}
	for content, want := range map[flow.Content][]point{
		flow.SensorReadings: {
			{"flow_sensor", []string{"sensor=edge-1"}, map[string]any{"boot": int64(5), "pending_records": int64(3), "records": int64(9)}, 100},
			{"flow_sensor", []string{"iface=eth0", "sensor=edge-1"}, map[string]any{"boot": int64(5), "accounted": int64(-1)}, 101},
			{"flow_sensor", []string{"iface=eth 1", "sensor=edge-1"}, map[string]any{"boot": int64(5), "accounted": int64(2)}, 102},
		},
		flow.CollectorReadings: {
			{"flow_collector", []string{"collector=edge-1"}, map[string]any{"boot": int64(5), "pending_records": int64(3), "records": int64(9)}, 100},
			{"flow_collector", []string{"collector=edge-1", "sensor=eth0"}, map[string]any{"boot": int64(5), "accounted": int64(-1)}, 101},
			{"flow_collector", []string{"collector=edge-1", "sensor=eth 1"}, map[string]any{"boot": int64(5), "accounted": int64(2)}, 102},
		},
	} {
		b := &flow.Batch{Content: content, Sensor: "edge-1", Boot: 5, Base: 100, Readings: readings}
		if content == flow.CollectorReadings {
			b.Sensor = "@edge-1"
		}
		var lines store.Lines
		store.NewEncoder().Encode(&lines, b, func(i int, why store.DeadReason, cause error) { t.Errorf("point %d: %v, %v", i, why, cause) })
		if got := parse(t, lines.Bytes()); !cmp.Equal(got, want) {
			t.Error(cmp.Diff(want, got))
		}
		if c := lines.Count(); c != (store.Count{Reports: 3}) {
			t.Errorf("counted as %+v", c)
		}
	}
	var refused []int
	var lines store.Lines
	late := &flow.Batch{Content: flow.SensorReadings, Sensor: "edge-1", Base: flow.MaxTime - 1, Readings: readings}
	store.NewEncoder().Encode(&lines, late, func(i int, why store.DeadReason, _ error) {
		if why != store.DeadTimeOutOfRange {
			t.Errorf("point %d: %v", i, why)
		}
		refused = append(refused, i)
	})
	if !slices.Equal(refused, []int{2}) || lines.Len() != 2 {
		t.Errorf("refused %v, %d lines", refused, lines.Len())
	}
}
