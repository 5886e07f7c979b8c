// Package metrics turns the stages' statistics into Prometheus metrics. Stages keep plain counters and know nothing of it; an
// assembly declares each metric once and hands in one function that reads all of them when a scrape asks.
package metrics

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Def declares one metric. Labels come from closed sets only: configured names and enums, never from the network.
type Def struct {
	Name   string // without the namespace; a name that ends in _total is a counter, any other a gauge
	Help   string
	Labels []string
}

// Put reports one value of a declared metric, with its labels' values in the order of the declaration. A metric that was
// not declared and a wrong number of labels fail the scrape with status 500: mistakes of the program that a test finds.
type Put func(name string, value float64, labels ...string)

// Handler serves the declared metrics and those of the Go runtime and the process. read is called for each scrape, by any
// goroutine, and reports every value through put.
func Handler(namespace string, defs []Def, read func(put Put)) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newSource(namespace, defs, read),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// source is a prometheus.Collector over a read function. It keeps no values of its own.
type source struct {
	metrics map[string]metric
	read    func(put Put)
}

type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func newSource(namespace string, defs []Def, read func(put Put)) *source {
	s := &source{metrics: make(map[string]metric, len(defs)), read: read}
	for _, d := range defs {
		kind := prometheus.GaugeValue
		if isCounter(d.Name) {
			kind = prometheus.CounterValue
		}
		s.metrics[d.Name] = metric{prometheus.NewDesc(namespace+"_"+d.Name, d.Help, d.Labels, nil), kind}
	}
	return s
}

func isCounter(name string) bool {
	const suffix = "_total"
	return len(name) > len(suffix) && name[len(name)-len(suffix):] == suffix
}

// Describe implements prometheus.Collector.
func (s *source) Describe(out chan<- *prometheus.Desc) {
	for _, m := range s.metrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (s *source) Collect(out chan<- prometheus.Metric) {
	s.read(func(name string, value float64, labels ...string) {
		m, ok := s.metrics[name]
		if !ok {
			err := fmt.Errorf("metric %s is not declared", name)
			out <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
			return
		}
		sample, err := prometheus.NewConstMetric(m.desc, m.kind, value, labels...)
		if err != nil {
			sample = prometheus.NewInvalidMetric(m.desc, err)
		}
		out <- sample
	})
}
