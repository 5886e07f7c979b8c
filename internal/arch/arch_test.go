package arch_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "flowsensor/internal/"

// allowed lists, for every internal package, the internal packages it may import. Imports point down only: assembly ->
// stages -> wire, seal -> flow. Stages never import each other, nor the other daemon's side; the ground (build, config,
// daemon, metrics) knows no flow. Stages name the keys of their settings by setting, a leaf.
var allowed = map[string]string{
	// values
	"flow":  "",
	"frame": "flow",
	// the sensor's stages
	"capture":   "detach flow frame setting",
	"pcapfile":  "flow frame",
	"packet":    "flow frame",
	"flowtable": "flow hugemem",
	"route":     "flow",
	"hugemem":   "",
	"detach":    "",
	"export":    "detach flow seal wire",
	// between the two daemons
	"wire": "flow",
	"seal": "",
	// what older systems speak
	"legacy": "flow seal",
	"dnsmsg": "flow frame",
	// a collector's sensors as files, for the commands of both
	"enroll": "seal",
	// the collector's stages
	"attribute":    "flow setting",
	"ingest":       "flow legacy seal wire",
	"enrich":       "flow setting",
	"journal":      "flow setting wire",
	"rollup":       "flow setting",
	"names":        "flow setting",
	"dnstap":       "dnsmsg flow",
	"store":        "flow setting",
	"store/files":  "setting store",
	"store/influx": "setting store",
	// a real InfluxDB for tests and the demonstration
	"store/influxtest": "",
	// the ground
	"build":   "",
	"cli":     "build config daemon",
	"config":  "setting",
	"daemon":  "",
	"metrics": "",
	"setting": "",
	"status":  "build daemon",
	// the two assemblies
	"sensor":    "build capture config daemon dnsmsg enroll export flow flowtable frame metrics packet pcapfile route seal setting status",
	"collector": "attribute build config daemon dnsmsg dnstap enrich enroll flow ingest journal legacy metrics names rollup seal setting status store store/files store/influx",
	// beside the assembly: it judges the assembled sensor, by its configuration and what its stages need of the machine
	"doctor": "build capture config daemon export seal sensor status wire",
	// tests and the demonstration
	"arch":              "",
	"bench/peers":       "bench/trace flow ingest seal testnet",
	"bench/store":       "flow store store/influx store/influxtest",
	"bench/trace":       "",
	"cli/clitest":       "",
	"detach/detachtest": "",
	"e2e":               "",
	"packet/dissect":    "",
	"smalldisk":         "testgate",
	"reference":         "collector config metrics sensor",
	"testgate":          "",
	"testnet":           "testgate",
	"testnet/demo":      "store/influxtest testnet",
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "../...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		pkg := strings.TrimPrefix(f[0], module)
		may, known := allowed[pkg]
		if !known {
			t.Errorf("package %s is not on the map: add it to allowed, and a line to internal/README.md", pkg)
			continue
		}
		for _, imp := range f[1:] {
			name, ours := strings.CutPrefix(imp, module)
			if ours && !strings.Contains(" "+may+" ", " "+name+" ") {
				t.Errorf("%s must not import %s", pkg, name)
			}
		}
	}
}
