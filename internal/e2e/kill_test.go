package e2e_test

import (
	"context"
	"testing"
)

// Both programs are killed: the collector while the sensor sends, then the sensor while it keeps what the collector did
// not take. What was spooled comes through in the next life, once.
func TestKilledProgramsLoseNothingSpooled(t *testing.T) {
	r := newRig(t)
	r.start(quickFlows, fileStore)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	source := newScript(t, r.span.A, r.span.B)
	send := func(ports ...int64) {
		t.Helper()
		for _, port := range ports {
			source.udp(want{src: "10.9.0.1", dst: "10.9.0.2", srcPort: port, dstPort: 7}, nil, 3, 100)
		}
	}
	send(1, 2)
	r.eventually("the first flows", func() bool { return len(r.lines()) == len(source.rows) })
	// Until its answers are there the sensor would send again what is in a file already, under the same point time: a
	// database has that once, a file twice.
	r.eventually("their acknowledgement", func() bool { return r.metric(sensorPage, "flow_sensor_pending_records") == 0 })
	r.collector.Kill()
	send(3, 4, 5)
	r.eventually("records kept", func() bool { return r.metric(sensorPage, "flow_sensor_pending_records") == 3 })
	r.eventually("all of them in the spool", func() bool {
		return r.metric(sensorPage, "flow_sensor_waiting_batches") == 0 && r.metric(sensorPage, "flow_sensor_spool_batches") > 0 &&
			r.metric(sensorPage, "flow_sensor_spool_batches") == r.metric(sensorPage, "flow_sensor_unacknowledged_batches")+
				r.metric(sensorPage, "flow_sensor_backlog_batches")
	})
	r.sensor.Kill()
	bin := programs(t)
	r.collector = r.launch(ctx, bin, "collector", collectorPage)
	r.sensor = r.launch(ctx, bin, "sensor", sensorPage)
	if got := r.metric(sensorPage, "flow_sensor_recovered_records_total"); got != 3 {
		t.Errorf("%v records recovered", got)
	}
	send(6)
	r.eventually("all flows", func() bool { return len(r.lines()) >= len(source.rows) })
	r.eventually("all acknowledged", func() bool { return r.metric(sensorPage, "flow_sensor_pending_records") == 0 })
	r.stop()
	compare(t, r, r.lines(), source.rows)
}
