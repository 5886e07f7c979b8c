//go:build !cgo

package capture

// Available reports whether the engine is part of this build.
func (e Engine) Available() bool { return e <= EngineRing && e != EngineAFPacket }

func openEngine(spec engineSpec) (engine, error) { return openRing(spec) }
