package daemon

import "errors"

// Exit statuses of both programs. The units restart on ExitFailure and not on ExitConfig.
const (
	ExitOK      = 0
	ExitFailure = 1 // at run time: worth another try
	ExitConfig  = 2 // configuration or usage: the same again would fail the same way
)

// ConfigError marks an error of the configuration or of the command line.
type ConfigError struct{ Err error }

func (e ConfigError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e ConfigError) Unwrap() error { return e.Err }

// ExitCode gives the exit status for what a command returned.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if _, ok := errors.AsType[ConfigError](err); ok {
		return ExitConfig
	}
	return ExitFailure
}
