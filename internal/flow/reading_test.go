package flow_test

import (
	"strings"
	"testing"

	"flowsensor/internal/flow"
)

func TestReadingNames(t *testing.T) {
	for name, want := range map[string]bool{
		"received": true, "refused_arp": true, "a1": true, strings.Repeat("a", flow.MaxReadingName): true,
		"": false, "Received": false, "1a": false, "_a": false, "a b": false, "a=1": false, "a,b": false, "a\n": false, "é": false,
		"boot": false, "time": false, strings.Repeat("a", flow.MaxReadingName+1): false,
	} {
		if flow.ValidReadingName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

// A name that comes twice begins another group: no point ever has a field twice.
func TestGroups(t *testing.T) {
	var got []string
	for group := range flow.Groups([]flow.Reading{
		{Name: "a"}, {Name: "b"}, {Name: "b"}, {Subject: "eth0", Name: "a"}, {Subject: "eth0", Name: "c"}, {Subject: "eth1", Name: "d"}, {Name: "e"},
	}) {
		var names []string
		for _, r := range group {
			names = append(names, r.Name)
		}
		got = append(got, group[0].Subject+":"+strings.Join(names, ","))
	}
	if want := ":a,b :b eth0:a,c eth1:d :e"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", strings.Join(got, " "), want)
	}
	for range flow.Groups([]flow.Reading{{Name: "a"}, {Name: "a"}}) {
		break
	}
}
