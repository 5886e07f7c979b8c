//go:build !cgo

package capture

const defaultEngine = EngineRing

// available reports whether the engine is part of this build.
func (e Engine) available() bool { return e == EngineRing }

func openEngine(spec engineSpec) (engine, error) { return openRing(spec) }
