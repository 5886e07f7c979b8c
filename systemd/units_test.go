// Package systemd_test holds the units to what the manual and the contract promise.
package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"flowsensor/etc"
	"flowsensor/internal/journal"
	"flowsensor/internal/status"
)

// exposure is the most that systemd-analyze may say against each unit, in tenths. What is left is what the work needs:
// the host's network, and for the sensor CAP_NET_RAW with AF_PACKET and AF_NETLINK.
var exposure = map[string]int{
	"flow-sensor.service":    17,
	"flow-sensor@.service":   17,
	"flow-collector.service": 11,
}

func TestExposure(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		const remedy = "systemd-analyze is missing: apt-get install systemd"
		if os.Getenv("FLOWSENSOR_CI") == "1" {
			t.Fatal(remedy)
		}
		t.Skip(remedy)
	}
	overall := regexp.MustCompile(`Overall exposure level for \S+: ([0-9]+)\.([0-9])`)
	for unit, most := range exposure {
		out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "./"+unit).CombinedOutput()
		found := overall.FindSubmatch(out)
		if err != nil || found == nil {
			t.Fatalf("%s: %v\n%s", unit, err, out)
		}
		if got, _ := strconv.Atoi(string(found[1]) + string(found[2])); got > most {
			t.Errorf("%s: exposure %s.%s, want at most %d.%d\n%s", unit, found[1], found[2], most/10, most%10, out)
		}
	}
}

// The template must not fall behind the plain unit.
func TestTemplateIsThePlainUnit(t *testing.T) {
	_, template, _ := strings.Cut(read(t, "flow-sensor@.service"), "[Unit]")
	want := strings.NewReplacer(
		"Description=Flow sensor (", "Description=Flow sensor %i (",
		"sensor.toml", "%i.toml",
		"StateDirectory=flow-sensor\n", "StateDirectory=flow-sensor/%i\n",
		"RuntimeDirectory=flow-sensor\n", "RuntimeDirectory=flow-sensor-%i\n",
	).Replace(strings.TrimPrefix(read(t, "flow-sensor.service"), "[Unit]"))
	if template != want {
		t.Errorf("flow-sensor@.service is\n%s\nby flow-sensor.service it should be\n%s", template, want)
	}
}

// With the socket unit the collector listens where it does without it.
func TestSocketListensAsTheExample(t *testing.T) {
	found := regexp.MustCompile(`(?m)^listen = \["([^"]+)", "([^"]+)"\]$`).FindStringSubmatch(etc.CollectorTOML)
	if found == nil {
		t.Fatal("the example does not say where it listens")
	}
	socket := read(t, "flow-collector.socket")
	for _, address := range found[1:] {
		if !strings.Contains(socket, "\nListenDatagram="+address+"\n") {
			t.Errorf("no socket on %s", address)
		}
	}
	// systemd 247 loses one of two sockets of one address at a daemon-reload.
	if n := strings.Count(socket, "\nListenDatagram="); n != len(found)-1 {
		t.Errorf("%d sockets, want one of each address", n)
	}
}

// A watchdog's SIGABRT and a panic end a Go program with exit status 2, by which the units tell a configuration that is
// wrong. Then nothing would start them again, unless the runtime is told to end by the signal.
func TestCrashIsNoConfigurationError(t *testing.T) {
	for unit := range exposure {
		text := read(t, unit)
		for _, line := range []string{"RestartPreventExitStatus=2", "Environment=GOTRACEBACK=crash", "Restart=always"} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s lacks %s", unit, line)
			}
		}
	}
}

// systemd reads a file's directives wherever they stand, but only the last of those that take one value.
func TestNothingIsSaidTwice(t *testing.T) {
	several := map[string]bool{"SystemCallFilter": true}
	for unit := range exposure {
		seen := make(map[string]bool)
		for line := range strings.Lines(read(t, unit)) {
			key, _, assignment := strings.Cut(line, "=")
			if !assignment || strings.HasPrefix(line, "#") {
				continue
			}
			if seen[key] && !several[key] {
				t.Errorf("%s sets %s twice", unit, key)
			}
			seen[key] = true
		}
	}
}

// Where the programs look for a running daemon's socket is where its unit has the directory made, for its group.
func TestStatusSocketIsInTheRuntimeDirectory(t *testing.T) {
	for unit := range exposure {
		text := strings.ReplaceAll(read(t, unit), "%i", "dmz")
		value := func(key string) string {
			_, rest, _ := strings.Cut(text, "\n"+key+"=")
			line, _, _ := strings.Cut(rest, "\n")
			return line
		}
		program, rest, _ := strings.Cut(strings.TrimPrefix(value("ExecStart"), "/usr/bin/"), " ")
		_, config, _ := strings.Cut(rest, "--config ")
		if got, want := filepath.Dir(status.Path(program, config)), "/run/"+value("RuntimeDirectory"); got != want {
			t.Errorf("%s: the programs look in %s, the unit makes %s", unit, got, want)
		}
		if value("RuntimeDirectoryMode") != "0750" || !strings.Contains(value("RestrictAddressFamilies"), "AF_UNIX") {
			t.Errorf("%s keeps its group from the socket, or itself", unit)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A start reads the whole journal before it is ready, on a disk that is slow too.
func TestStartHasTimeForTheJournal(t *testing.T) {
	const slowest = 20e6 // octets a second
	found := regexp.MustCompile(`(?m)^TimeoutStartSec=(\d+min)$`).FindStringSubmatch(read(t, "flow-collector.service"))
	if found == nil {
		t.Fatal("flow-collector.service sets no TimeoutStartSec in minutes")
	}
	timeout, err := time.ParseDuration(strings.TrimSuffix(found[1], "in"))
	if need := time.Duration(float64(journal.DefaultConfig().MaxSize) / slowest * float64(time.Second)); err != nil || timeout < need {
		t.Errorf("TimeoutStartSec is %s, %v: a full journal takes %s", timeout, err, need)
	}
}
