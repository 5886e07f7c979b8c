package legacy

import "flowsensor/internal/seal"

// maxReplays is how many tokens of one agent are remembered: at 20 s that is far more than an agent written in Python sends,
// and 6 MB at most.
const maxReplays = 1 << 17

// replayMargin is how many seconds longer than a token is taken it is remembered. The datagrams of several sockets are not
// handled in the order of their receive times.
const replayMargin = 10

// replays remembers the tokens that were taken, by the second of their stamp, until that second is too old to be taken
// again. The zero value is ready to use; not safe for concurrent use.
type replays struct {
	taken map[int64]map[seal.MAC]struct{}
	count int
}

// take notes a token with a stamp, and says whether it is new: ReasonOK, ReasonReplayed or ReasonReplayFull. oldest is the
// least stamp that is taken now.
func (r *replays) take(mac seal.MAC, stamp, oldest int64) Reason {
	for second, macs := range r.taken {
		if second < oldest-replayMargin {
			r.count -= len(macs)
			delete(r.taken, second)
		}
	}
	macs := r.taken[stamp]
	if _, seen := macs[mac]; seen {
		return ReasonReplayed
	}
	if r.count == maxReplays {
		return ReasonReplayFull
	}
	if r.taken == nil {
		r.taken = make(map[int64]map[seal.MAC]struct{})
	}
	if macs == nil {
		macs = make(map[seal.MAC]struct{})
		r.taken[stamp] = macs
	}
	macs[mac] = struct{}{}
	r.count++
	return ReasonOK
}
