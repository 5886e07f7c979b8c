package collector

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"flowsensor/internal/enroll"
	"flowsensor/internal/seal"
)

// KeySource says where a command takes a key from: exactly one of the two.
type KeySource struct {
	File     string // "-" is In
	In       io.Reader
	Generate bool
}

func (k KeySource) load() (seal.Key, error) {
	switch {
	case k.Generate && k.File != "":
		return seal.Key{}, configError(errors.New("--key-file names a key that there is, and --generate makes one: give one of the two"))
	case !k.Generate && k.File == "":
		return seal.Key{}, configError(errors.New("want the sensor's key, --key-file FILE (- reads it from a pipe), or --generate to make one"))
	case k.Generate:
		return seal.GenerateKey()
	case k.File == "-":
		key, err := enroll.ReadKey(k.In)
		return key, wrapConfig(err)
	}
	key, err := seal.LoadKeyFile(k.File)
	return key, wrapConfig(err)
}

// newKey loads a key that no sensor has yet. Key files that cannot be read are the business of Check.
func (k KeySource) newKey(all []declared) (seal.Key, error) {
	key, err := k.load()
	if err != nil {
		return key, err
	}
	for _, d := range all {
		for _, path := range d.KeyFiles {
			if taken, err := seal.LoadKeyFile(path); err == nil && taken.Equal(key) {
				return key, configError(fmt.Errorf("%w: sensor %s has this one (%s)", seal.ErrDuplicateKey, d.ID, path))
			}
		}
	}
	return key, nil
}

// enrolment is a configuration's sensors and the folder that commands change.
type enrolment struct {
	folder enroll.Folder
	all    []declared
}

func openEnrolment(path string) (*enrolment, error) {
	all, err := declaredSensors(path)
	if err != nil {
		return nil, configError(err)
	}
	folder, err := enroll.Beside(path)
	return &enrolment{folder: folder, all: all}, err
}

// find gives a sensor that stands in the drop-in folder, the only place that commands change.
func (e *enrolment) find(id string) (*declared, error) {
	i := slices.IndexFunc(e.all, func(d declared) bool { return d.ID == id })
	if i < 0 {
		return nil, configError(fmt.Errorf("there is no sensor %q: `flow-collector sensor list` shows all", id))
	}
	if d := &e.all[i]; d.dropin {
		return d, nil
	}
	return nil, configError(fmt.Errorf("sensor %q stands in the configuration itself, which no command changes: edit %s", id, e.all[i].table))
}

const takeOver = "take it over: systemctl reload flow-collector\n"

// AddSensor is `flow-collector sensor add`.
func AddSensor(path, id string, addresses []string, from KeySource, out io.Writer) error {
	e, err := openEnrolment(path)
	if err != nil {
		return err
	}
	if err := seal.ValidID(id); err != nil {
		return configError(err)
	}
	if _, err := prefixes(addresses); err != nil {
		return configError(fmt.Errorf("--address: %w", err))
	}
	if i := slices.IndexFunc(e.all, func(d declared) bool { return d.ID == id }); i >= 0 {
		return configError(fmt.Errorf("there is a sensor %q already: %s", id, e.all[i].table))
	}
	key, err := from.newKey(e.all)
	if err != nil {
		return err
	}
	s, err := e.folder.Add(id, addresses, key)
	if err != nil {
		return err
	}
	return say(out, "added sensor %s, key fingerprint %s\n%s%s", id, key.Fingerprint(), from.next(s.KeyFiles[0]), takeOver)
}

// next tells what remains to do with the key.
func (k KeySource) next(path string) string {
	if k.Generate {
		return fmt.Sprintf("bring %s to the sensor, by a way that others cannot read: it is the key_file of its configuration\n", path)
	}
	return "on the sensor `flow-sensor enroll` must show the same fingerprint\n"
}

// RemoveSensor is `flow-collector sensor remove`.
func RemoveSensor(path, id string, out io.Writer) error {
	e, err := openEnrolment(path)
	if err != nil {
		return err
	}
	d, err := e.find(id)
	if err != nil {
		return err
	}
	if !d.alone {
		return configError(fmt.Errorf("%s declares other sensors too: take %q out of it yourself", d.table, id))
	}
	if err := e.folder.Remove(d.table.Path); err != nil {
		return err
	}
	if err := e.folder.RemoveKeys(e.unshared(d)); err != nil {
		return err
	}
	left := takeOver
	if len(e.all) == 1 {
		left = "no sensor is left, and with none the collector refuses to reload: systemctl stop flow-collector\n"
	}
	return say(out, "removed sensor %s and its keys\n"+
		"What the collector has acknowledged will be stored. From the reload on it refuses the sensor's datagrams: what the sensor\n"+
		"has not had acknowledged by then stays in its spool. To have all of it, stop the sensor first and wait until it has drained.\n%s", id, left)
}

// unshared gives the key files that no other sensor names.
func (e *enrolment) unshared(d *declared) []string {
	return slices.DeleteFunc(slices.Clone(d.KeyFiles), func(path string) bool {
		return slices.ContainsFunc(e.all, func(other declared) bool { return other.ID != d.ID && slices.Contains(other.KeyFiles, path) })
	})
}

// Rotation is one of the two steps in which a key is changed: a new key before the old one, and the old one's end.
type Rotation struct {
	KeySource

	Finish bool
}

// RotateKey is `flow-collector sensor rotate`.
func RotateKey(path, id string, r Rotation, out io.Writer) error {
	if r.Finish && (r.Generate || r.File != "") {
		return configError(errors.New("--finish takes the old key away, and takes no new one"))
	}
	e, err := openEnrolment(path)
	if err != nil {
		return err
	}
	d, err := e.find(id)
	if err != nil {
		return err
	}
	if r.Finish {
		if _, err := e.folder.Finish(d.sensor(), d.table); err != nil {
			return wrapEnroll(err)
		}
		return say(out, "the old key of sensor %s is removed\n%s", id, takeOver)
	}
	key, err := r.newKey(e.all)
	if err != nil {
		return err
	}
	s, err := e.folder.Rotate(d.sensor(), d.table, key)
	if err != nil {
		return wrapEnroll(err)
	}
	return say(out, "sensor %s has a new key, fingerprint %s, beside the old one\n"+
		"1. systemctl reload flow-collector\n"+
		"2. on the sensor: put the new key (%s) in the place of the old, systemctl reload flow-sensor\n"+
		"3. when `flow-sensor enroll` there shows the new fingerprint: flow-collector sensor rotate %s --finish\n", id, key.Fingerprint(), s.KeyFiles[0], id)
}

// ListSensors is `flow-collector sensor list`: a line for each key.
func ListSensors(path string, out io.Writer) error {
	e, err := openEnrolment(path)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if err := say(w, "ID\tADDRESSES\tFINGERPRINT\tKEY FILE\tDECLARED\tPROBLEM\n"); err != nil {
		return err
	}
	for _, d := range e.all {
		addresses := strings.Join(d.Prefixes, ",")
		if addresses == "" {
			addresses = "any"
		}
		for _, path := range d.KeyFiles {
			fingerprint, problem := "-", "-"
			key, err := enroll.InspectKey(path)
			if err != nil {
				problem = err.Error()
			}
			if !key.IsZero() {
				fingerprint = key.Fingerprint()
			}
			if err := say(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, addresses, fingerprint, path, d.table, problem); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

func say(out io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintf(out, format, args...)
	return err
}

// wrapEnroll gives what the operator must mend in the files the exit status of a wrong configuration.
func wrapEnroll(err error) error {
	if errors.Is(err, enroll.ErrByHand) || errors.Is(err, enroll.ErrRotating) || errors.Is(err, enroll.ErrOneKey) {
		return configError(err)
	}
	return err
}

func wrapConfig(err error) error {
	if err == nil {
		return nil
	}
	return configError(err)
}
