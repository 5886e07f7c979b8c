package influxtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Row is one point of an answer: its columns by name, tags among them. Numbers are json.Number, so that nanoseconds stay
// whole; "time" is in nanoseconds since the epoch.
type Row map[string]any

// quote makes an InfluxQL identifier.
func quote(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// CreateDatabase makes a database; one that is there already stays.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	_, err := s.Query(ctx, "", "CREATE DATABASE "+quote(name))
	return err
}

// Query runs InfluxQL statements and gives the rows of all their series together.
func (s *Server) Query(ctx context.Context, database, statement string) ([]Row, error) {
	form := url.Values{"db": {database}, "q": {statement}, "epoch": {"ns"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"/query", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("query influxd: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if s.cfg.User != "" {
		req.SetBasicAuth(s.cfg.User, s.cfg.Password)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("query influxd: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	return readRows(resp.Body)
}

func readRows(r io.Reader) ([]Row, error) {
	var answer struct {
		Error   string
		Results []struct {
			Error  string
			Series []struct {
				Tags    map[string]string
				Columns []string
				Values  [][]any
			}
		}
	}
	d := json.NewDecoder(r)
	d.UseNumber()
	if err := d.Decode(&answer); err != nil {
		return nil, fmt.Errorf("query influxd: read the answer: %w", err)
	}
	if answer.Error != "" {
		return nil, errors.New("query influxd: " + answer.Error)
	}
	var rows []Row
	for _, result := range answer.Results {
		if result.Error != "" {
			return nil, errors.New("query influxd: " + result.Error)
		}
		for _, series := range result.Series {
			for _, values := range series.Values {
				row := make(Row, len(series.Columns)+len(series.Tags))
				for i, column := range series.Columns {
					row[column] = values[i]
				}
				for tag, value := range series.Tags {
					row[tag] = value
				}
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

// Points gives every point of a measurement, in the order of time.
func (s *Server) Points(ctx context.Context, database, measurement string) ([]Row, error) {
	return s.Query(ctx, database, "SELECT * FROM "+quote(measurement))
}

// Count gives the number of points of a measurement that have the field.
func (s *Server) Count(ctx context.Context, database, measurement, field string) (int64, error) {
	rows, err := s.Query(ctx, database, fmt.Sprintf("SELECT count(%s) AS n FROM %s", quote(field), quote(measurement)))
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return Integer(rows[0]["n"])
}

// Sum gives the sum of an integer field.
func (s *Server) Sum(ctx context.Context, database, measurement, field string) (int64, error) {
	rows, err := s.Query(ctx, database, fmt.Sprintf("SELECT sum(%s) AS n FROM %s", quote(field), quote(measurement)))
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return Integer(rows[0]["n"])
}

// Integer reads a value of a Row.
func Integer(v any) (int64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is no number", v)
	}
	return n.Int64()
}
