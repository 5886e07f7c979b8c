package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"flowsensor/internal/seal"
)

// words are what the programs said, cut to what matters.
var words = map[string]struct {
	text string
	want uint64
}{
	"flow-sensor": {
		`{"time":"2026-11-22T07:26:09Z","level":"INFO","msg":"starting","version":"0.1.0"}
{"time":"2026-11-22T07:26:12Z","level":"INFO","msg":"ledger","received":2840004,"ring_dropped":0,"read":2840004,"accounted":2840003,"refused":1}
`, 2840003,
	},
	"flow-sensor read": {`{
  "packets": {
    "read": 568000,
    "accounted": 567999,
    "exported": 567999,
    "refused": {"arp": 1}
  },
  "bytes": {
    "read": 288173962,
    "accounted": 288173900
  }
}`, 567999},
	"nfpcapd": {`Startup nfpcapd.
Stat: received: 2737693, dropped by OS/Buffer: 0, freeze_q_cnt: 0
Processed: 2737690, skipped: 0, short caplen: 0, unknown: 0
Terminating flow processng
Total: Processed: 2737690, skipped: 0, short caplen: 0, unknown: 0
`, 2737690},
	"softflowd": {`softflowd v1.1.0 starting data collection
Number of active flows: 68887
Packets processed: 2089090
Packets received by libpcap: 2840012
Packets dropped by libpcap: 750900
Packets dropped by interface: 0
`, 2089090},
	"pmacctd": {`INFO ( default_nfprobe/nfprobe ): Shutting down on user request.
NOTICE ( default/core ): [eth0,0] received_packets=2840002 dropped_packets=405625
`, 2840002 - 405625},
	"argus": {`racount   records     total_pkts     src_pkts       dst_pkts       total_bytes
    sum   78729       1586791        816984         769807         818473504
`, 1586791},
}

func contestants() []contestant {
	return []contestant{ours("flow-sensor", seal.Key{}), acked("flow-sensor", seal.Key{}), nfpcapd(), softflowd(), pmacctd(), argus()}
}

func TestCountsAreFoundInWhatProgramsSay(t *testing.T) {
	for name, w := range words {
		for _, c := range contestants() {
			if c.name != strings.TrimSuffix(name, " read") {
				continue
			}
			if got, err := c.accountedIn([]byte(w.text)); err != nil || got != w.want {
				t.Errorf("%s: %d packets, %v, want %d", name, got, err, w.want)
			}
			if got, err := c.accountedIn([]byte("Killed\n")); err == nil {
				t.Errorf("%s: %d packets in a log without counts", name, got)
			}
		}
	}
}

// TestCommandsSayWhatTheJobSays holds that everyone gets the source, the number of flows and the sink.
func TestCommandsSayWhatTheJobSays(t *testing.T) {
	for _, c := range contestants() {
		for _, j := range []job{{iface: "eth7"}, {file: "/captures/a.pcap"}} {
			j.dir, j.flows = t.TempDir(), 4<<20
			command, err := c.command(j)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			want := []string{j.iface, j.file}
			switch {
			case c.name == ackedName:
				want = append(want, collectorAddress, "acknowledged")
			case c.sends:
				want = append(want, sinkAddress)
			}
			if c.name != "argus" { // it has no such option
				want = append(want, "4194304")
			}
			said := strings.Join(command, " ") + everything(t, j.dir)
			if missing := slices.DeleteFunc(want, func(w string) bool { return strings.Contains(said, w) }); len(missing) > 0 {
				t.Errorf("%s is started without %q: %s", c.name, missing, said)
			}
		}
	}
}

// everything is the text of all files in a folder.
func everything(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		text, err := os.ReadFile(dir + "/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("\n" + string(text))
	}
	return all.String()
}

func TestVersions(t *testing.T) {
	for said, want := range map[string]string{
		"nfpcapd: Version: 1.7.1usage nfpcapd [options]":                       "1.7.1",
		"This is softflowd version 1.1.0. Valid commandline options:":          "1.1.0",
		"Promiscuous Mode Accounting Daemon, pmacctd 1.7.7-git [RELEASE]":      "1.7.7-git",
		"Argus Version 3.0.8.2\nusage: argus":                                  "3.0.8.2",
		"tcpreplay version: 4.4.3 (build git:v4.4.3) (debug)":                  "4.4.3",
		"flow-sensor 0.1.0 (commit 406ef19, go1.26.0 linux/amd64)":             "0.1.0",
		"softflowd: invalid option -- '?'\nno version to be seen in this text": "",
	} {
		if got := versionPattern.FindString(said); got != want {
			t.Errorf("%q: version %q, want %q", said, got, want)
		}
	}
}

func TestParseReplay(t *testing.T) {
	const said = `Actual: 2840000 packets (1480629810 bytes) sent in 4.66 seconds
Rated: 317187191.5 Bps, 2537.49 Mbps, 608397.60 pps
Statistics for network device: eth0
	Successful packets:        2840000
	Failed packets:            0
`
	if got, err := parseReplay([]byte(said)); err != nil || got != (replayed{packets: 2840000, seconds: 4.66}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", strings.Replace(said, "Failed packets:            0", "Failed packets:            7", 1)} {
		if got, err := parseReplay([]byte(bad)); err == nil {
			t.Errorf("got %+v from %q", got, bad)
		}
	}
}
