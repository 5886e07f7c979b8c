package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"flowsensor/internal/store/influxtest"
)

// startDatabase starts Debian's InfluxDB in the third namespace.
func (s *stage) startDatabase(ctx context.Context) error {
	binary, err := influxtest.Find(ctx, influxtest.Debian)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "influxdb")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	s.database, err = influxtest.Start(ctx, influxtest.Config{
		Binary: binary, Dir: dir, Command: s.span.C.Command, Dial: s.span.C.Dial,
	})
	if err != nil {
		return err
	}
	return s.database.CreateDatabase(ctx, databaseName)
}

// show prints the flows, from the files or from the database.
func (s *stage) show(ctx context.Context, out io.Writer) error {
	if s.database != nil {
		return s.showQuery(ctx, out)
	}
	flows, err := influxtest.ReadLines(filepath.Join(s.dir, "lines"), "flow")
	if err != nil {
		return err
	}
	if len(flows) == 0 {
		return errors.New("no flow arrived")
	}
	say(out, "\n%d flows, as the collector wrote them:\n", len(flows))
	if err := printTable(out, flows); err != nil {
		return err
	}
	say(out, "\nThe files: %s", filepath.Join(s.dir, "lines"))
	return nil
}

// showQuery asks the database.
func (s *stage) showQuery(ctx context.Context, out io.Writer) error {
	const query = `SELECT COUNT("bytes") AS flows, SUM("bytes") AS bytes, SUM("packets") AS packets FROM "flow" GROUP BY "proto"`
	rows, err := s.database.Query(ctx, databaseName, query)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return errors.New("no flow arrived in the database")
	}
	say(out, "\nInfluxDB answers\n  %s\n", query)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	say(w, "PROTO\tFLOWS\tPACKETS\tBYTES")
	for _, r := range rows {
		say(w, "%v\t%v\t%v\t%v", r["proto"], r["flows"], r["packets"], r["bytes"])
	}
	return w.Flush()
}

func printTable(out io.Writer, flows []influxtest.Row) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	say(w, "IFACE\tPROTO\tSOURCE\tPORT\tDESTINATION\tPORT\tPACKETS\tBYTES\tFLAGS\tEND")
	for _, f := range flows {
		say(w, "%v\t%v\t%v\t%v\t%v\t%v\t%v\t%v\t%v\t%v", f["iface"], f["proto"], f["src"], f["src_port"], f["dst"], f["dst_port"],
			f["packets"], f["bytes"], f["tcp_flags"], f["end_reason"])
	}
	return w.Flush()
}
