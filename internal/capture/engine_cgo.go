//go:build cgo

package capture

// Available reports whether the engine is part of this build.
func (e Engine) Available() bool { return e <= EngineRing }

func openEngine(spec engineSpec) (engine, error) {
	if spec.cfg.Engine == EngineAFPacket {
		return openAFPacket(spec)
	}
	return openRing(spec)
}
