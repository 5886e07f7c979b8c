package sensor

import (
	"context"
	"log/slog"
	"slices"

	"flowsensor/internal/metrics"
	"flowsensor/internal/route"
)

// openRoutes reads the kernel's routes where an interface is one that this machine routes from.
func (p *pipeline) openRoutes(c Config, log *slog.Logger) (err error) {
	if slices.ContainsFunc(c.Interfaces, func(in InterfaceConfig) bool { return in.Routed }) {
		p.routes, err = route.Open(log)
	}
	return err
}

// routesFor gives what the records of an interface are filled in from, nil where they are left as they are.
func (p *pipeline) routesFor(in InterfaceConfig) *route.Table {
	if !in.Routed {
		return nil
	}
	return p.routes
}

// followRoutes keeps the routes up to date until stopRoutes.
func (s *Service) followRoutes(life context.Context) {
	following, stop := context.WithCancel(life)
	s.stopRoutes = stop
	if s.pipeline.routes != nil {
		s.routes.Go(func() { s.fail(s.pipeline.routes.Run(following)) })
	}
}

// readRoutes puts the metrics of the routes.
func readRoutes(st route.Stats, put metrics.Put) {
	put("routes", float64(st.Routes))
	put("route_updates_total", float64(st.Updates))
	put("route_overruns_total", float64(st.Overruns))
	put("route_failures_total", float64(st.Failures))
	put("routes_refused_total", float64(st.Refused))
	for reason, n := range st.Readings {
		put("route_readings_total", float64(n), route.Reason(reason).String())
	}
}
