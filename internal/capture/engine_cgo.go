//go:build cgo

package capture

const defaultEngine = EngineAFPacket

// available reports whether the engine is part of this build.
func (e Engine) available() bool { return e == EngineAFPacket || e == EngineRing }

func openEngine(spec engineSpec) (engine, error) {
	if spec.cfg.Engine == EngineRing {
		return openRing(spec)
	}
	return openAFPacket(spec)
}
