package export

import (
	"context"
	"errors"
	"time"
)

// Internals that the tests look into.

// StateName is the state file's name.
const StateName = stateName

// ReserveAhead bounds how far a killed sensor's stamps run ahead.
const ReserveAhead = reserveAhead

// EncodeState and DecodeState are the state file's form.
func EncodeState(boot uint64, stamp int64) []byte { return state{boot, stamp, clean}.encode() }

// DecodeState reads it.
func DecodeState(b []byte) (boot uint64, stamp int64, err error) {
	s, err := decodeState(b)
	return s.boot, s.stamp, err
}

// Kick asks for another address as lasting trouble would.
func (s *Sender) Kick() { s.resolver.kick <- struct{}{} }

// Kill leaves the Sender as a killed process does: the lock is gone, nothing is stored.
func (s *Sender) Kill() {
	s.close.Do(func() {
		s.queue.halt()
		s.closeErr = s.packer.link.close()
		if out := s.packer.out; out != nil && out.spooler != nil {
			out.spooler.stop()
			s.closeErr = errors.Join(s.closeErr, out.spooler.spool.close())
		}
		if f := s.packer.stamps.state; f != nil {
			<-f.done
			s.closeErr = f.dir.Close()
		}
	})
}

// Check is the housekeeping of Run, at another time.
func (s *Sender) Check(now time.Time) { s.check(context.Background(), now) }
