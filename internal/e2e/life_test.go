package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"

	"flowsensor/internal/sensor"
	"flowsensor/internal/store/influxtest"
)

const fileStore = "[store]\nage = \"50ms\"\n"

// lines gives the rows that the collector has written into files, each point once: a collector that was killed writes the
// last minute again, which is one point in a database.
func (r *rig) lines() []influxtest.Row {
	r.t.Helper()
	rows, err := influxtest.ReadLines(filepath.Join(r.dir, "lines"), "flow")
	if err != nil {
		r.t.Fatal(err)
	}
	seen := make(map[string]bool)
	return slices.DeleteFunc(rows, func(row influxtest.Row) bool {
		point := fmt.Sprint(row["sensor"], row["iface"], row["proto"], row["time"])
		again := seen[point]
		seen[point] = true
		return again
	})
}

// eventually waits until the condition holds.
func (r *rig) eventually(what string, holds func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not within a minute: %s", what)
		}
	}
}

func (r *rig) metric(page, name string) float64 {
	r.t.Helper()
	v, err := strconv.ParseFloat(r.metrics(page)[name], 64)
	if err != nil {
		r.t.Fatalf("%s: %v", name, err)
	}
	return v
}

// Stopped in the midst of things, the sensor exports and sends all it holds, within its bound; with two workers.
func TestStopExportsEverything(t *testing.T) {
	r := newRig(t)
	// With everything on, for the sake of the metrics.
	r.start("routed = true\n[dns]\nenabled = true\n[capture]\nworkers = 2\nring_size = \"4MiB\"\n[export]\ncollector = [\"127.0.0.1:9999\"]\nkey_file = KEY\n", fileStore)
	books := known(t, r.span)
	expected, packets, _, refused := total(books)
	r.eventually("all packets read", func() bool {
		return r.metric(sensorPage, "flow_sensor_read_packets_total") == float64(packets+refused["arp"]+refused["lldp"])
	})
	page := r.metrics(sensorPage)
	for _, def := range sensor.Metrics() {
		if !hasMetric(page, "flow_sensor_"+def.Name) && !strings.HasPrefix(def.Name, "noted_") && def.Name != "records_total" {
			t.Errorf("metric %s is declared and never shown", def.Name)
		}
	}
	start := time.Now()
	r.stop()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("stopping took %v", took)
	}
	for _, w := range expected {
		w.endReason = "shutdown"
	}
	compare(t, r, r.lines(), expected)
	for name, text := range map[string]string{"sensor": "balanced=true", "collector": "left_in_journal_records=0"} {
		if !strings.Contains(r.log(name), text) {
			t.Errorf("the %s's log lacks %s", name, text)
		}
	}
}

func hasMetric(page map[string]string, name string) bool {
	for sample := range page {
		if sample == name || strings.HasPrefix(sample, name+"{") {
			return true
		}
	}
	return false
}

// An interface that goes down, comes back, and is made anew under its name, is captured on all the same.
func TestInterfaceComesBack(t *testing.T) {
	r := newRig(t)
	r.start(quickFlows, fileStore)
	source := newScript(t, r.span.A, r.span.B)
	send := func(port int64) {
		t.Helper()
		source.udp(want{src: "10.9.0.1", dst: "10.9.0.2", srcPort: port, dstPort: 7}, nil, 3, 100)
		r.eventually(fmt.Sprintf("the flow of port %d", port), func() bool { return len(r.lines()) == len(source.rows) })
	}
	send(1)
	if err := r.span.C.Down(); err != nil {
		t.Fatal(err)
	}
	r.eventually("down seen", func() bool {
		return r.metric(sensorPage, `flow_sensor_capture_up{iface="`+r.span.C.Interface+`"}`) == 0
	})
	if err := r.span.C.Up(); err != nil {
		t.Fatal(err)
	}
	send(2)
	before, err := r.span.C.Index()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.span.DeleteMirror(); err != nil {
		t.Fatal(err)
	}
	r.eventually("deletion seen", func() bool {
		return r.metric(sensorPage, `flow_sensor_capture_up{iface="`+r.span.C.Interface+`"}`) == 0
	})
	if err := r.span.CreateMirror(); err != nil {
		t.Fatal(err)
	}
	r.eventually("capture again", func() bool {
		return r.metric(sensorPage, `flow_sensor_capture_up{iface="`+r.span.C.Interface+`"}`) == 1
	})
	send(3)
	after, err := r.span.C.Index()
	if err != nil {
		t.Fatal(err)
	}
	indexes := map[int64]int64{}
	for _, row := range r.lines() {
		indexes[number(t, row, "src_port")] = number(t, row, "if_index")
	}
	if indexes[1] != int64(before) || indexes[2] != int64(before) || indexes[3] != int64(after) || before == after {
		t.Errorf("interface indexes of the rows by port: %v, before %d, after %d", indexes, before, after)
	}
	r.stop()
	compare(t, r, r.lines(), source.rows)
	if !strings.Contains(r.log("sensor"), "balanced=true") {
		t.Error("the ledger does not balance")
	}
}

// One frozen worker thread silences the watchdog while the rest of the daemon goes on; freed, it goes on too.
func TestFrozenWorkerSilencesWatchdog(t *testing.T) {
	r := newRig(t)
	heard := notifications(t, r)
	r.environment = []string{"NOTIFY_SOCKET=" + filepath.Join(r.dir, "notify"), "WATCHDOG_USEC=1500000"}
	r.start("[capture]\nworkers = 2\nring_size = \"4MiB\"\n"+quickFlows, fileStore)
	expect(t, heard, "READY=1", 5*time.Second)
	expect(t, heard, "WATCHDOG=1", 5*time.Second)

	free := freeze(t, r.sensor.PID(), "w1 ")
	silence := time.NewTimer(3 * time.Second)
	limit := time.After(20 * time.Second)
	for quiet := false; !quiet; {
		select {
		case text := <-heard:
			if strings.Contains(text, "WATCHDOG=1") {
				silence.Reset(3 * time.Second)
			}
		case <-silence.C:
			quiet = true
		case <-limit:
			t.Fatal("the watchdog is still fed")
		}
	}
	expect(t, heard, "STATUS=", 10*time.Second) // the daemon itself goes on
	if !strings.Contains(r.log("sensor"), "workers stalled") || !strings.Contains(r.log("sensor"), r.span.C.Interface+"/1") {
		t.Error("the log does not name the stalled worker")
	}
	free()
	expect(t, heard, "WATCHDOG=1", 10*time.Second)
	r.stop()
}

// A sensor whose datagrams leave over the very interface it captures on makes no flow of them, nor of copies of them that
// come back: plain and tagged ones are dropped by the kernel filter, those inside MPLS are refused by name.
func TestOwnTrafficIsNoFlow(t *testing.T) {
	r := newRig(t)
	r.sensing, r.collecting = r.span.B, r.span.A
	export := fmt.Sprintf("[export]\nflush_interval = \"50ms\"\ncollector = [\"%s:9999\"]\nkey_file = KEY\n", r.span.A.IPv4)
	r.start("[flows]\ninactive_timeout = \"1s\"\n"+export, fileStore)
	source := newScript(t, r.span.A, r.span.B)
	out := want{src: r.span.B.IPv4.String(), dst: r.span.A.IPv4.String(), srcPort: r.localPort(), dstPort: 9999}
	back := want{src: out.dst, dst: out.src, srcPort: out.dstPort, dstPort: out.srcPort}
	const rounds = 20
	for port := range int64(rounds) { // flows end all the time, and so datagrams leave all the time
		source.udp(want{src: "10.9.0.1", dst: "10.9.0.2", srcPort: port + 1, dstPort: 7}, nil, 2, 100)
		for _, own := range []want{out, back} {
			ip := own.datagram(t, 200)
			source.put(nil, layers.EthernetTypeIPv4, ip)
			source.put([]uint16{7}, layers.EthernetTypeIPv4, ip)
			source.put([]uint16{7, 8}, layers.EthernetTypeIPv4, ip)
			source.put(nil, layers.EthernetTypeMPLSUnicast, append([]byte{0, 1, 1, 64}, ip...)) // one label, the last
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.eventually("all flows", func() bool { return len(r.lines()) >= len(source.rows) })
	time.Sleep(1500 * time.Millisecond) // a flow of our own would be idle by now
	if sent := r.metric(sensorPage, "flow_sensor_sent_datagrams_total"); sent < 5 {
		t.Errorf("only %v datagrams left", sent)
	}
	if n := r.metric(sensorPage, `flow_sensor_refused_packets_total{reason="own_traffic"}`); n != 2*rounds {
		t.Errorf("%v packets refused as own traffic, want %d", n, 2*rounds)
	}
	if n := r.metric(sensorPage, `flow_sensor_received_packets_total{iface="`+r.span.B.Interface+`"}`); n != float64(source.packets+2*rounds) {
		t.Errorf("the ring received %v packets, want %d", n, source.packets+2*rounds)
	}
	r.stop()
	compare(t, r, r.lines(), source.rows)
}

// localPort gives the port that the sensor sends from.
func (r *rig) localPort() int64 {
	r.t.Helper()
	found := regexp.MustCompile(`local=\S+:(\d+)`).FindStringSubmatch(r.log("sensor"))
	if found == nil {
		r.t.Fatal("the sensor's log does not name its own address")
	}
	port, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return port
}

// notifications listens where the programs notify systemd.
func notifications(t *testing.T, r *rig) <-chan string {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(r.dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 4096)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			heard <- string(buf[:n])
		}
	}()
	t.Cleanup(func() { _ = conn.Close() })
	return heard
}

func expect(t *testing.T, heard <-chan string, text string, within time.Duration) {
	t.Helper()
	for limit := time.After(within); ; {
		select {
		case got := <-heard:
			if strings.Contains(got, text) {
				return
			}
		case <-limit:
			t.Fatalf("did not hear %s", text)
		}
	}
}

// freeze stops the one thread of a process whose name begins so, as a debugger does, until the returned function frees it.
func freeze(t *testing.T, pid int, name string) (free func()) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range tasks {
		comm, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(comm), name) {
			continue
		}
		tid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		return attach(t, tid)
	}
	t.Fatalf("no thread of process %d is called %q: %v", pid, name, tasks)
	return nil
}

// attach holds a thread by ptrace. Only the thread that attached may detach, so one goroutine keeps it.
func attach(t *testing.T, tid int) (free func()) {
	t.Helper()
	release, held := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread() // until it ends
		err := syscall.PtraceAttach(tid)
		if err == nil {
			_, err = syscall.Wait4(tid, nil, syscall.WALL, nil)
		}
		held <- err
		if err == nil {
			<-release
			held <- syscall.PtraceDetach(tid)
		}
	}()
	if err := <-held; err != nil {
		t.Fatalf("freeze thread %d: %v", tid, err)
	}
	return func() {
		t.Helper()
		close(release)
		if err := <-held; err != nil {
			t.Errorf("free thread %d: %v", tid, err)
		}
	}
}
