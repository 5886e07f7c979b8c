package rollup

// ports is a bounded set of pairs of a cell and a port. The zero value is not usable. Not safe for concurrent use.
type ports struct {
	seed  uint64
	slots []uint64 // 0, or the pair + 1
	count int
	limit int
}

func newPorts(seed uint64, limit int) *ports {
	return &ports{seed: seed, slots: make([]uint64, 1<<firstBits), limit: limit}
}

// portSeen is what the set knew of a pair.
type portSeen uint8

const (
	portKnown portSeen = iota
	portNew
	portNoRoom
)

func (p *ports) add(cell uint32, port uint16) portSeen {
	pair := (uint64(cell)<<16 | uint64(port)) + 1
	mask := uint64(len(p.slots) - 1)
	place := mix(p.seed, pair) & mask
	for ; p.slots[place] != 0; place = (place + 1) & mask {
		if p.slots[place] == pair {
			return portKnown
		}
	}
	if p.count >= p.limit {
		return portNoRoom
	}
	p.slots[place] = pair
	p.count++
	if p.count > len(p.slots)/4*3 {
		p.grow()
	}
	return portNew
}

func (p *ports) grow() {
	old := p.slots
	p.slots = make([]uint64, 2*len(old))
	mask := uint64(len(p.slots) - 1)
	for _, pair := range old {
		if pair == 0 {
			continue
		}
		place := mix(p.seed, pair) & mask
		for p.slots[place] != 0 {
			place = (place + 1) & mask
		}
		p.slots[place] = pair
	}
}

func (p *ports) reset() {
	clear(p.slots)
	p.count = 0
}
