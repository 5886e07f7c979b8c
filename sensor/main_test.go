package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/rogpeppe/go-internal/testscript"

	"flowsensor/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"flow-sensor": func() { os.Exit(cli.Execute(context.Background(), command(), os.Args[1:])) },
	})
}

func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"status": status},
		Setup: func(env *testscript.Env) error { return writeCapture(filepath.Join(env.WorkDir, "two.pcap")) },
	})
}

// status runs a program and wants its exit status: status 2 flow-sensor check.
func status(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// writeCapture writes a UDP flow of 31 minutes, a packet each ten seconds, and one ARP frame.
func writeCapture(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := pcapgo.NewWriterNanos(f)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		return err
	}
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{198, 51, 100, 7}}
	udp := &layers.UDP{SrcPort: 4000, DstPort: 53}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		return err
	}
	start := time.Unix(1_700_000_000, 5)
	for i := range 187 {
		if err := write(w, start.Add(time.Duration(i)*10*time.Second), eth, ip, udp, gopacket.Payload(make([]byte, 100))); err != nil {
			return err
		}
	}
	eth.EthernetType = layers.EthernetTypeARP
	if err := write(w, start.Add(time.Hour), eth, gopacket.Payload(make([]byte, 46))); err != nil {
		return err
	}
	return f.Close()
}

func write(w *pcapgo.Writer, at time.Time, stack ...gopacket.SerializableLayer) error {
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		return err
	}
	data := buf.Bytes()
	return w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(data), Length: len(data)}, data)
}
