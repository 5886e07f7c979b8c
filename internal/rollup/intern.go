package rollup

// names turns texts into numbers, so that cells hold no pointers. The number 0 stands for the empty text. It is bounded:
// a text too many becomes the last one, "other". Not safe for concurrent use, but a list taken from it stays good while
// more are added.
type names struct {
	list    []string
	numbers map[string]uint32
	limit   int
}

// maxNames bounds the names of sensors and interfaces in a window, maxInterfaces those at which an interface finds no room any
// more: sensors come by the configuration, but one of them can make up interfaces.
const (
	maxNames      = 1 << 16
	maxInterfaces = maxNames / 2
)

func newNames(limit int) *names {
	n := &names{limit: limit, numbers: make(map[string]uint32)}
	n.reset()
	return n
}

func (n *names) reset() {
	clear(n.numbers)
	n.list = []string{""} // a new one: the old may still be read
	n.numbers[""] = 0
}

// number gives a text's.
func (n *names) number(text string) uint32 { return n.numberWithin(text, n.limit) }

// numberWithin leaves what is beyond a limit below n's own to others.
func (n *names) numberWithin(text string, limit int) uint32 {
	number, known := n.numbers[text]
	if known {
		return number
	}
	if len(n.list) >= limit {
		text = other
		if number, known = n.numbers[text]; known {
			return number
		}
	}
	number = uint32(len(n.list))
	n.list = append(n.list, text)
	n.numbers[text] = number
	return number
}

// other is how whatever has no row of its own is written.
const other = "other"
