package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"syscall"
)

// nfpcapd is nfdump's probe. It writes its own files, without compression, its fastest form.
func nfpcapd() contestant {
	return contestant{
		name:    "nfpcapd",
		version: []string{"nfpcapd", "-V"},
		command: func(j job) ([]string, error) {
			flows := j.path("flows")
			if err := os.Mkdir(flows, 0o700); err != nil {
				return nil, err
			}
			const defaultNodes = 512 << 10
			return append([]string{
				"nfpcapd", "-w", flows, "-t", "86400", "-e", fmt.Sprintf("%d,%d", active, inactive), "-s", strconv.Itoa(snap),
				"-b", strconv.Itoa(buffer >> 20), "-B", strconv.Itoa(max(defaultNodes, j.flows)),
			}, j.source()...), nil
		},
		end:       syscall.SIGTERM,
		accounted: regexp.MustCompile(`Total: Processed: (\d+)`),
		received:  regexp.MustCompile(`Stat: received: (\d+)`),
		dropped:   regexp.MustCompile(`dropped by OS/Buffer: (\d+)`),
	}
}

// softflowd sends NetFlow version 9, the oldest that knows IPv6. Version 1.1.0 reading a file waits for ever on its control
// socket, so it gets one for live captures only, and there it exports nothing at SIGTERM.
func softflowd() contestant {
	return contestant{
		name:    "softflowd",
		version: []string{"softflowd", "-h"},
		command: func(j job) ([]string, error) {
			control := j.path("control")
			if j.file != "" {
				control = "none"
			}
			command := []string{
				"softflowd", "-d", "-n", sinkAddress, "-v", "9", "-m", strconv.Itoa(max(1<<20, j.flows)), "-c", control,
				"-p", j.path("pid"), "-B", strconv.Itoa(buffer), "-C", strconv.Itoa(snap), "-t", fmt.Sprintf("maxlife=%d", active),
			}
			for _, name := range []string{"general", "tcp", "tcp.rst", "tcp.fin", "udp", "icmp"} {
				command = append(command, "-t", fmt.Sprintf("%s=%d", name, inactive))
			}
			return append(command, j.source()...), nil
		},
		quit:      func(j job) []string { return []string{"softflowctl", "-c", j.path("control"), "shutdown"} },
		ask:       func(j job) []string { return []string{"softflowctl", "-c", j.path("control"), "statistics"} },
		sends:     true,
		accounted: regexp.MustCompile(`Packets processed: (\d+)`),
		received:  regexp.MustCompile(`Packets received by libpcap: (\d+)`),
		dropped:   regexp.MustCompile(`Packets dropped by libpcap: (\d+)`),
	}
}

const pmacctdConfig = `daemonize: false
%[1]s
snaplen: %[2]d
pmacctd_pipe_size: %[3]d
plugins: nfprobe
plugin_pipe_zmq: true
plugin_pipe_zmq_profile: xlarge
nfprobe_receiver: %[4]s
nfprobe_version: 9
nfprobe_maxflows: %[5]d
nfprobe_timeouts: tcp=%[6]d:tcp.rst=%[6]d:tcp.fin=%[6]d:udp=%[6]d:icmp=%[6]d:general=%[6]d:maxlife=%[7]d:expint=60
aggregate: src_host,dst_host,src_port,dst_port,proto,tos
`

// pmacctd sends NetFlow version 9 from a second process, its nfprobe plugin. Packets go there through ZeroMQ: the pipe of its
// own loses some without a word when the plugin is slower, and costs as much.
func pmacctd() contestant {
	return contestant{
		name:    "pmacctd",
		version: []string{"pmacctd", "-V"},
		command: func(j job) ([]string, error) {
			source := "pcap_interface: " + j.iface
			if j.file != "" {
				source = "pcap_savefile: " + j.file
			}
			config := j.path("pmacctd.conf")
			text := fmt.Sprintf(pmacctdConfig, source, snap, buffer, sinkAddress, max(1<<20, j.flows), inactive, active)
			return []string{"pmacctd", "-f", config}, write(config, text)
		},
		end:      syscall.SIGINT,
		sends:    true,
		received: regexp.MustCompile(`received_packets=(\d+)`),
		dropped:  regexp.MustCompile(`dropped_packets=(\d+)`),
	}
}

// argus writes its own file. Its timeouts by protocol stay as they are compiled in.
func argus() contestant {
	return contestant{
		name:    "argus",
		version: []string{"argus", "-h"},
		command: func(j job) ([]string, error) {
			config := j.path("argus.conf")
			err := write(config, fmt.Sprintf("ARGUS_PCAP_BUF_SIZE=%dM\nARGUS_FLOW_STATUS_INTERVAL=%d\n", buffer>>20, active))
			return append([]string{"argus", "-X", "-F", config, "-w", j.path("argus.out"), "-s", strconv.Itoa(snap)}, j.source()...), err
		},
		end:       syscall.SIGTERM,
		tell:      func(j job) []string { return []string{"racount", "-X", "-r", j.path("argus.out")} },
		accounted: regexp.MustCompile(`sum +\d+ +(\d+)`),
	}
}

// source is how most name what they read.
func (j job) source() []string {
	if j.file != "" {
		return []string{"-r", j.file}
	}
	return []string{"-i", j.iface}
}
