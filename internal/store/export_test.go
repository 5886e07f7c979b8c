package store

// Reset empties lines and keeps their memory, as a writer does between chunks.
func Reset(l *Lines) { l.reset() }
