package collector

import (
	"errors"
	"fmt"
	"io/fs"

	"flowsensor/internal/config"
	"flowsensor/internal/enroll"
	"flowsensor/internal/seal"
)

// source is a file that declares sensors: the configuration itself, or one of its drop-ins.
type source struct {
	path    string
	doc     *config.Document
	sensors []SensorConfig
}

// sources are the configuration, which comes first, and its drop-ins in the order of their names.
type sources []source

// withDropins reads the drop-in folder of the configuration, whose own part is parsed already.
func withDropins(path string, doc *config.Document, own []SensorConfig) (sources, error) {
	folder, err := enroll.Beside(path)
	if err != nil {
		return nil, err
	}
	paths, err := folder.Dropins()
	if err != nil {
		return nil, fmt.Errorf("drop-in folder: %w", err)
	}
	all := sources{{path: path, doc: doc, sensors: own}}
	var errs []error
	for _, path := range paths {
		var dropin struct {
			Sensors []SensorConfig `toml:"sensor"`
		}
		doc, err := config.Load(path, &dropin)
		errs = append(errs, err)
		all = append(all, source{path: path, doc: doc, sensors: dropin.Sensors})
	}
	return all, errors.Join(errs...)
}

// sensors gives those of all files.
func (all sources) sensors() []SensorConfig {
	var sensors []SensorConfig
	for _, src := range all {
		sensors = append(sensors, src.sensors...)
	}
	return sensors
}

// place is where a key stands. To find its line takes a while, and is left to who has something to say of it.
type place struct {
	doc *config.Document
	key string
}

func (p place) String() string { return p.doc.Where(p.key) }

// validate notes the refusals in each file's document.
func (all sources) validate() {
	first := make(map[string]place) // id to where it was first declared
	for _, src := range all {
		for i, s := range src.sensors {
			at := fmt.Sprintf("sensor[%d].", i)
			src.doc.Check(at+"id", seal.ValidID(s.ID))
			if where, taken := first[s.ID]; taken {
				src.doc.Checkf(at+"id", "%q stands twice: first at %s", s.ID, where)
			} else {
				first[s.ID] = place{src.doc, at + "id"}
			}
			if n := len(s.KeyFiles); n == 0 || n > seal.MaxKeys {
				src.doc.Checkf(at+"key_files", "%d files: want 1 to %d, the newest key first", n, seal.MaxKeys)
			}
			_, err := prefixes(s.Prefixes)
			src.doc.Check(at+"prefixes", err)
		}
	}
}

// validateKeys reads the key files.
func (all sources) validateKeys(read keyReader) {
	first := make(map[string]place) // fingerprint to where the key was first named
	for _, src := range all {
		for i := range src.sensors {
			at := fmt.Sprintf("sensor[%d].key_files", i)
			keys, err := src.sensors[i].keys(read)
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%w: copy the sensor's key there (root:flow-collector 0640), or take the table out: `flow-collector sensor add` does all of it", err)
			}
			src.doc.Check(at, err)
			for _, key := range keys {
				if where, taken := first[key.Fingerprint()]; taken {
					src.doc.Check(at, fmt.Errorf("%w: sensor %s has one that stands at %s too", seal.ErrDuplicateKey, src.sensors[i].ID, where))
				} else {
					first[key.Fingerprint()] = place{src.doc, at}
				}
			}
		}
	}
}

// Err gives the refusals of all files.
func (all sources) Err() error {
	var errs []error
	for _, src := range all {
		errs = append(errs, src.doc.Err())
	}
	return errors.Join(errs...)
}

// declared is a sensor with where it stands.
type declared struct {
	SensorConfig

	table enroll.Table
	// dropin says that the file is one of the drop-in folder, alone that it declares no other sensor.
	dropin, alone bool
}

func (d *declared) sensor() enroll.Sensor {
	return enroll.Sensor{ID: d.ID, KeyFiles: d.KeyFiles, Prefixes: d.Prefixes}
}

// declaredSensors reads what sensors a configuration has. It judges nothing else, since there must be a way to add the first.
func declaredSensors(path string) ([]declared, error) {
	c := Defaults()
	doc, err := config.Load(path, &c)
	if err != nil {
		return nil, err
	}
	all, err := withDropins(path, doc, c.Sensors)
	if err != nil {
		return nil, err
	}
	var found []declared
	for n, src := range all {
		for i, s := range src.sensors {
			found = append(found, declared{
				SensorConfig: s, dropin: n > 0, alone: len(src.sensors) == 1,
				table: enroll.Table{Path: src.path, Index: i, Line: src.doc.Line(fmt.Sprintf("sensor[%d].key_files", i))},
			})
		}
	}
	return found, nil
}
