package sensor

import "flowsensor/internal/capture"

// Captures are the captures that a configuration calls for, for the tests of package sensor_test.
func (c *Config) Captures() []capture.Config { return c.captures(nil) }
