package doctor

import (
	"context"
	"errors"
	"syscall"
	"time"

	"flowsensor/internal/export"
	"flowsensor/internal/seal"
	"flowsensor/internal/status"
)

// Clocks that differ by more than nearSkew are worth a look; the collector's usual limit is 5 s.
const nearSkew = time.Second

// checkCollectors asks each collector for its time, as the sensor does: the answer proves address, key and id at once.
func checkCollectors(ctx context.Context, p *patient) (all []Result) {
	if len(p.config.Export.Collector) == 0 {
		return []Result{skipped("export.collector is not set")}
	}
	key, err := seal.LoadKeyFile(p.config.Export.KeyFile)
	if err != nil {
		return []Result{skipped("without the key nothing can be asked: %v", err)}
	}
	for _, address := range p.config.Export.Collector {
		answer, err := p.Probe(ctx, address, p.config.ID, key)
		if err != nil {
			all = append(all, p.unanswered(err).of(address))
			continue
		}
		all = append(all, answered(answer).of(address))
	}
	return all
}

// ErrNoAnswer says that a collector kept silent.
var ErrNoAnswer = errors.New("no answer")

// unanswered tells the ways of not being answered from each other. A collector never answers what it cannot authenticate.
func (p *patient) unanswered(err error) Result {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return problem("the machine is there, and nothing listens on the port").do("systemctl start flow-collector there; is the port right?")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return problem("there is no way to it: %v", err).do("look at the routes (`flow-sensor gateways`)")
	case errors.Is(err, ErrNoAnswer):
		return problem("no answer: it does not know id %q with this key, refuses this address (prefixes), or a firewall is between", p.config.ID).
			do("`flow-collector status` there names what it refuses: unknown_id, hmac or address; open UDP in both directions")
	default:
		return problem("%v", err).do("put the collector's right name or address into export.collector")
	}
}

func answered(a Answer) Result {
	name := a.From
	if a.Collector != "" {
		name = a.Collector + " at " + a.From
	}
	took, offset := a.RoundTrip.Round(10*time.Microsecond), status.Offset(a.Offset.Seconds())
	switch {
	case a.Refused:
		return problem("%s answers, and refuses this sensor's clock: ours minus its is %s", name, offset).do("run NTP on both machines; batches are kept until the clocks agree")
	case a.Offset.Abs() > nearSkew:
		return warning("%s answers in %s; our clock minus its is %s", name, took, offset).do("run NTP on both machines, before it comes to the collector's limit")
	}
	return well("%s answers in %s; our clock minus its is %s", name, took, offset)
}

// checkDelivery asks the sensor what becomes of its records.
func checkDelivery(_ context.Context, p *patient) (all []Result) {
	if p.daemon == nil {
		return []Result{skipped("the sensor does not run, or does not answer: %v", p.silence)}
	}
	x := &p.daemon.Export
	if p.config.Export.Delivery == export.FireAndForget {
		all = append(all, warning("records are sent once and forgotten").do(`delivery = "acknowledged", unless the collector cannot`))
	}
	if x.Held {
		all = append(all, problem("sending is held back: the collector refuses, or cannot be reached; %d records are kept", x.Pending).do("see what is said of the collector"))
	}
	if lost := sum(x.Dropped); lost > 0 {
		all = append(all, problem("%d records were given up since the start: %s", lost, listed(x.Dropped)).do("%s", deliveryRemedy(x.Dropped)))
	}
	if x.SpoolFailures > 0 {
		all = append(all, problem("%d writes to the spool failed: %s", x.SpoolFailures, x.LastError).do("look at the disk below export.spool_dir or state_dir"))
	}
	if limit := int64(p.config.Export.SpoolSize); limit > 0 && x.SpoolBytes > limit/10*8 {
		all = append(all, warning("the spool is nearly full: %d of %d octets", x.SpoolBytes, limit).do("mend the way to the collector, or make export.spool_size larger"))
	}
	if len(all) == 0 {
		all = append(all, well("%d records sent, %d acknowledged, %d pending", x.SentRecords, x.AckedRecords, x.Pending))
	}
	return all
}

// deliveryRemedy names the first cause to go after.
func deliveryRemedy(dropped map[string]uint64) string {
	for _, cause := range []struct {
		reason export.Reason
		remedy string
	}{
		{export.SpoolFull, "the collector was away for longer than the spool lasts: make export.spool_size larger"},
		{export.QueueFull, "the sender does not keep up: make export.queue larger, or look for a slow way to the collector"},
		{export.RefusedVersion, "collector and sensor speak different versions: upgrade the collector first"},
		{export.MessageSize, "the path takes too small datagrams: lower export.max_datagram, or mend its MTU"},
	} {
		if dropped[cause.reason.String()] > 0 {
			return cause.remedy
		}
	}
	return "journalctl -u flow-sensor says more"
}
