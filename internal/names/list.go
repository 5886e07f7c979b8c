package names

// The lists that an entry is in: all of them by use, and those of its group by use.
const (
	byUse = iota
	byGroup
	listKinds
)

// link is an entry's place in a list.
type link struct{ older, newer int32 }

// list is the ends of a list.
type list struct {
	oldest, newest int32
	length         int32
}

var emptyList = list{oldest: none, newest: none}

// lists gives the lists of an entry, in the order of its links.
func (t *table) lists(e *entry) [listKinds]*list {
	return [listKinds]*list{byUse: &t.all, byGroup: &t.groups[e.group]}
}

// push puts an entry at the new end of its lists.
func (t *table) push(i int32) {
	e := &t.entries[i]
	for kind, l := range t.lists(e) {
		e.links[kind] = link{older: l.newest, newer: none}
		if l.newest == none {
			l.oldest = i
		} else {
			t.entries[l.newest].links[kind].newer = i
		}
		l.newest = i
		l.length++
	}
}

// unlink takes an entry out of its lists.
func (t *table) unlink(i int32) {
	e := &t.entries[i]
	for kind, l := range t.lists(e) {
		at := e.links[kind]
		if at.older == none {
			l.oldest = at.newer
		} else {
			t.entries[at.older].links[kind].newer = at.newer
		}
		if at.newer == none {
			l.newest = at.older
		} else {
			t.entries[at.newer].links[kind].older = at.older
		}
		l.length--
	}
}

// touch makes an entry the one that was used last.
func (t *table) touch(i int32) {
	if t.all.newest == i {
		return // then it is its group's, too
	}
	t.unlink(i)
	t.push(i)
}
