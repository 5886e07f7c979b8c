package influxtest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
)

// ReadLines gives the points of a measurement in all line-protocol files of a directory, those still growing included, as Server.Points
// gives a database's.
func ReadLines(dir, measurement string) ([]Row, error) {
	var names []string
	for _, pattern := range []string{"*.lp", "*.lp.part"} {
		more, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	slices.Sort(names)
	var rows []Row
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for d := lineprotocol.NewDecoderWithBytes(text); d.Next(); {
			of, err := d.Measurement()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if string(of) != measurement {
				continue
			}
			row, err := readRow(d)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func readRow(d *lineprotocol.Decoder) (Row, error) {
	row := make(Row)
	for {
		key, value, err := d.NextTag()
		if err != nil {
			return nil, err
		}
		if key == nil {
			break
		}
		row[string(key)] = string(value)
	}
	for {
		key, value, err := d.NextField()
		if err != nil {
			return nil, err
		}
		if key == nil {
			break
		}
		row[string(key)] = value.Interface()
		if value.Kind() == lineprotocol.Int {
			row[string(key)] = json.Number(strconv.FormatInt(value.IntV(), 10))
		}
	}
	at, err := d.Time(lineprotocol.Nanosecond, time.Time{})
	row["time"] = json.Number(strconv.FormatInt(at.UnixNano(), 10))
	return row, err
}
