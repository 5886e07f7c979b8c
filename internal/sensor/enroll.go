package sensor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"flowsensor/internal/config"
	"flowsensor/internal/enroll"
	"flowsensor/internal/seal"
)

// Enroll is `flow-sensor enroll`: it prints what the collector needs to know of this sensor, and not the key. The rest of the
// configuration may still be incomplete.
func Enroll(path string, out io.Writer) error {
	c, err := load(path, func(c *Config, doc *config.Document) {
		doc.Check("id", seal.ValidID(c.ID))
		c.Export.validateKeyFile(doc)
	})
	if err != nil {
		return configError(err)
	}
	key, err := loadKey(c.Export.KeyFile)
	if err != nil {
		return configError(fmt.Errorf("export.key_file: %w", err))
	}
	keyFile, err := filepath.Abs(c.Export.KeyFile)
	if err != nil {
		return err
	}
	block, err := enroll.Sensor{ID: c.ID, KeyFiles: []string{"/etc/flow-collector/keys/" + c.ID + ".key"}}.Block()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, `# Sensor %[1]s, key fingerprint %[2]s.
# On the collector, with a shell on this machine named SENSOR; the same fingerprint must come back:
#   ssh SENSOR sudo cat %[3]s | sudo flow-collector sensor add %[1]s --key-file -
# Or, by hand: this text as /etc/flow-collector/sensors.d/%[1]s.toml, and a copy of the key, root:flow-collector 0640, as
# the file that it names. Then: systemctl reload flow-collector
%[4]s`, c.ID, key.Fingerprint(), keyFile, block)
	return err
}

// loadKey loads a key's file. Where there is none it says how to make one.
func loadKey(path string) (seal.Key, error) {
	key, err := seal.LoadKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%[1]w: make one: (umask 027; flow-sensor keygen > %[2]s; chgrp --reference=%[3]s %[2]s)", err, path, filepath.Dir(path))
	}
	return key, err
}
