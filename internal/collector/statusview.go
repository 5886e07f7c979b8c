package collector

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"flowsensor/internal/config"
	"flowsensor/internal/status"
)

// StatusOptions are those of the commands that ask the running daemon.
type StatusOptions struct {
	Socket string // "" is that of the configuration
	Config string // its path
	Out    io.Writer
}

// client asks the daemon of the configuration. A configuration that cannot be read is no reason not to ask.
func (o *StatusOptions) client() *status.Client {
	path := o.Socket
	if path == "" {
		path = status.Path(program, o.Config)
		c := Defaults()
		if _, err := config.Load(o.Config, &c); err == nil && c.Status.Socket != status.Auto && c.Status.Socket != "" {
			path = c.Status.Socket
		}
	}
	return status.NewClient(path)
}

// ShowStatus is `flow-collector status`: the figures of the daemon that runs.
func ShowStatus(ctx context.Context, o StatusOptions) error {
	client := o.client()
	defer client.Close()
	var s Snapshot
	if err := client.Get(ctx, statusTarget, &s); err != nil {
		return err
	}
	var text strings.Builder
	if err := s.write(&text); err != nil {
		return err
	}
	_, err := io.WriteString(o.Out, text.String())
	return err
}

// ShowStatusJSON is `flow-collector status --json`: the answer as the daemon gave it.
func ShowStatusJSON(ctx context.Context, o StatusOptions) error {
	client := o.client()
	defer client.Close()
	text, err := client.Raw(ctx, statusTarget)
	if err != nil {
		return err
	}
	_, err = o.Out.Write(text)
	return err
}

// write prints the figures for people. Writing to a Builder never fails, but for what the tables say.
func (s *Snapshot) write(out *strings.Builder) error {
	fmt.Fprintf(out, "%s %s, roles %s, pid %d, up %s\n", s.Program, s.Build, strings.Join(s.Roles, " "), s.PID, seconds(s.Uptime))
	if len(s.Stalled) > 0 {
		fmt.Fprintf(out, "NO PROGRESS: %s\n", strings.Join(s.Stalled, ", "))
	}
	if s.Ingest != nil {
		out.WriteString("\n")
		if err := status.Table(out, s.sensorRows()); err != nil {
			return err
		}
		out.WriteString("\n")
		s.Ingest.write(out)
	}
	j := &s.Journal
	fmt.Fprintf(out, "journal    %s bytes of %s in %s messages, the oldest %s old", status.Count(j.Bytes), status.Count(j.MaxBytes),
		status.Count(j.Messages), seconds(j.Age))
	switch {
	case !j.Up:
		out.WriteString("; DOES NOT ANSWER")
	case j.Blocked > 0:
		fmt.Fprintf(out, "; FULL: %d shards have no room", j.Blocked)
	}
	out.WriteString("\n")
	if s.Write != nil {
		s.Write.write(out)
	}
	return nil
}

func (s *Snapshot) sensorRows() [][]string {
	rows := [][]string{{"SENSOR", "LAST SEEN", "CLOCK", "RECORDS", "DURABLE", "MISSING", "KEY", "REFUSED"}}
	for i := range s.Sensors {
		x := &s.Sensors[i]
		row := []string{x.ID, "never", "", status.Count(x.Records), status.Count(x.Durable), status.Count(x.Missing), "", refused(x.Datagrams)}
		if x.LastSeen != nil {
			row[1], row[6] = seconds(x.SilentFor)+" ago", strconv.Itoa(x.Key)
		}
		if len(x.Datagrams) > 0 {
			row[2] = clock(x.ClockOffset)
		}
		rows = append(rows, row)
	}
	return rows
}

// refused writes the outcomes but for the good one.
func refused(datagrams map[string]uint64) string {
	bad := maps.Clone(datagrams)
	delete(bad, "accepted")
	return status.Counts(bad)
}

func (in *IngestStatus) write(out *strings.Builder) {
	fmt.Fprintf(out, "received   %s records, %s durable, %s refused for want of room, %s lost on the way to the journal\n", status.Count(in.Accepted),
		status.Count(in.Durable), status.Count(in.Full), status.Count(in.Lost))
	fmt.Fprintf(out, "datagrams  %s accepted, %s answers; refused: %s\n", status.Count(in.Datagrams["accepted"]), status.Count(in.Answers), refused(in.Datagrams))
	for _, sock := range in.Sockets {
		if sock.KernelDrops > 0 {
			fmt.Fprintf(out, "LOST       %s datagrams at %s: its receive buffer of %d bytes was full\n", status.Count(sock.KernelDrops), sock.Address, sock.ReceiveBuffer)
		}
	}
}

func (w *WriteStatus) write(out *strings.Builder) {
	fmt.Fprintf(out, "store      %s: %s records written, %s waiting, %s not wanted as points; %s requests, %s repeated\n", w.Kind,
		status.Count(w.Written), status.Count(w.Pending), status.Count(w.Withheld), status.Count(w.Requests), status.Count(w.Retries))
	fmt.Fprintf(out, "set aside  dead letters: %s (%d bytes); left in the journal: %s\n", status.Counts(w.DeadLettered), w.DeadLetters, status.Counts(w.Dropped))
	if w.Failing > 0 {
		fmt.Fprintf(out, "FAILING    %d writers wait: %s\n", w.Failing, w.LastError)
	}
}

func seconds(s float64) string { return status.Age(time.Duration(s * float64(time.Second))) }

// clock writes a sensor's offset. Its tokens are stamped in whole seconds, so that no less than half a second means anything.
func clock(offset float64) string {
	if offset >= -0.6 && offset <= 0.6 {
		return "agrees"
	}
	return status.Offset(offset)
}
