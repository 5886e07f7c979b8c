package store

import (
	"strings"
	"time"

	"flowsensor/internal/flow"
)

// Where ledgers go: a point for each subject of each report, a field for each meter, all of them integers.
const (
	sensorMeasurement    = "flow_sensor"    // tags sensor and, of one interface's meters, iface
	collectorMeasurement = "flow_collector" // tags collector and, of one sensor's meters, sensor
)

// readings appends a line for every group.
func (e *Encoder) readings(to *Lines, b *flow.Batch, refuse func(i int, why DeadReason, cause error)) {
	i := -1
	for group := range flow.Groups(b.Readings) {
		i++
		at, ok := pointTime(b, i)
		if !ok {
			refuse(i, DeadTimeOutOfRange, errPointTime)
			continue
		}
		e.ledgerTags(b, group[0].Subject)
		e.int("boot", int64(b.Boot))
		for _, r := range group {
			e.int(r.Name, r.Value)
		}
		e.line.EndLine(time.Unix(0, at))
		if err := e.line.Err(); err != nil {
			e.line.ClearErr()
			refuse(i, DeadLineInvalid, err)
			continue
		}
		to.data = e.line.Bytes()
		to.mark(Count{Reports: 1})
	}
}

// ledgerTags begins the line; tags ascend by key.
func (e *Encoder) ledgerTags(b *flow.Batch, subject string) {
	subject = tagValue(subject)
	if b.Content == flow.CollectorReadings {
		e.line.StartLine(collectorMeasurement)
		e.line.AddTag("collector", tagValue(strings.TrimPrefix(b.Sensor, "@")))
		if subject != "" {
			e.line.AddTag("sensor", subject)
		}
		return
	}
	e.line.StartLine(sensorMeasurement)
	if subject != "" {
		e.line.AddTag("iface", subject)
	}
	e.line.AddTag("sensor", tagValue(b.Sensor))
}
