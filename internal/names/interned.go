package names

// interned holds each name once, as long as an entry has it.
type interned struct {
	texts   []string
	holders []uint32 // by name: how many entries have it
	numbers map[string]uint32
	free    []uint32
}

func newInterned() interned { return interned{numbers: make(map[string]uint32)} }

// take gives a name's number.
func (n *interned) take(text string) uint32 {
	if i, ok := n.numbers[text]; ok {
		n.holders[i]++
		return i
	}
	var i uint32
	if last := len(n.free) - 1; last >= 0 {
		i = n.free[last]
		n.free = n.free[:last]
		n.texts[i], n.holders[i] = text, 1
	} else {
		i = uint32(len(n.texts))
		n.texts, n.holders = append(n.texts, text), append(n.holders, 1)
	}
	n.numbers[text] = i
	return i
}

// drop gives a name back.
func (n *interned) drop(i uint32) {
	if n.holders[i]--; n.holders[i] > 0 {
		return
	}
	delete(n.numbers, n.texts[i])
	n.texts[i] = ""
	n.free = append(n.free, i)
}
