package metrics_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"flowsensor/internal/metrics"
)

func scrape(t *testing.T, read func(metrics.Put)) (int, string) {
	t.Helper()
	defs := []metrics.Def{
		{Name: "packets_total", Help: "Packets received.", Labels: []string{"iface"}},
		{Name: "flows", Help: "Flows in the table."},
	}
	w := httptest.NewRecorder()
	metrics.Handler("flow_test", defs, read).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Code, w.Body.String()
}

func TestHandlerServesWhatIsRead(t *testing.T) {
	_, page := scrape(t, func(put metrics.Put) {
		put("packets_total", 3, "eth1")
		put("packets_total", 4, "eth2")
		put("flows", 5)
	})
	for _, want := range []string{
		"# TYPE flow_test_packets_total counter", `flow_test_packets_total{iface="eth1"} 3`, `flow_test_packets_total{iface="eth2"} 4`,
		"# TYPE flow_test_flows gauge", "flow_test_flows 5", "go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestMistakesFailTheScrape(t *testing.T) {
	for name, read := range map[string]func(metrics.Put){
		"undeclared":   func(put metrics.Put) { put("typo_total", 1) },
		"label amount": func(put metrics.Put) { put("packets_total", 1) },
	} {
		if code, page := scrape(t, read); code != 500 {
			t.Errorf("%s: status %d\n%s", name, code, page)
		}
	}
}
