package flowtable

import (
	"encoding/binary"
	"math/bits"
)

const (
	// bucketSlots is what fits one cache line beside the tags.
	bucketSlots = 12
	// bucketFill is the mean number of entries in a bucket of a full table: at 6 of 12, one bucket in a hundred runs over.
	bucketFill = 6
	// firstBuckets is how many a large index uses at first: a mebibyte, about half a second-level cache.
	firstBuckets = 1 << 14
)

// bucket is one cache line of the index: twelve one-byte tags, 0 where the slot is free, and the entries they stand for.
// An entry that finds its bucket full goes to the next one with room, and every bucket it passed counts it in overflow.
// So a search ends at the first bucket that nobody passed, and a removal leaves nothing behind.
type bucket struct {
	tags     [bucketSlots]uint8
	overflow uint32
	refs     [bucketSlots]uint32
}

// index finds the numbers of entries by the hashes of their keys.
type index []bucket

// bucketsFor is how many buckets the index of that many flows has.
func bucketsFor(flows int) int { return flows/bucketFill + 1 }

// home is the bucket where the search for a hash begins: the high bits, scaled to the number of buckets.
func (x index) home(hash uint64) uint64 {
	hi, _ := bits.Mul64(hash, uint64(len(x)))
	return hi
}

// after is the bucket where the search goes on.
func (x index) after(at uint64) uint64 {
	if at++; at < uint64(len(x)) {
		return at
	}
	return 0
}

// pattern repeats a hash's tag, 1 to 255, in all eight bytes. The tag is made of the low bits, which choose no bucket.
func pattern(hash uint64) uint64 {
	return max(hash&0xff, 1) * 0x0101010101010101
}

// match gives one bit for every slot whose tag is the one repeated in pattern; pattern 0 finds the free slots.
func (b *bucket) match(pattern uint64) uint32 {
	low := zeroBytes(binary.LittleEndian.Uint64(b.tags[0:8]) ^ pattern)
	high := zeroBytes(uint64(binary.LittleEndian.Uint32(b.tags[8:12])) ^ pattern)
	return (low | high<<8) & (1<<bucketSlots - 1)
}

// zeroBytes gives one bit, from bit 0 on, for every byte of x that is zero.
func zeroBytes(x uint64) uint32 {
	const low7 = 0x7f7f7f7f7f7f7f7f
	marks := ^((x&low7 + low7) | x | low7)          // the high bit of every zero byte; no carry leaves a byte
	return uint32(marks * 0x0002040810204081 >> 56) // multiplied so that every one of the eight arrives in the top byte
}

// candidate is the first entry in the home bucket that has the hash's tag, or none. One in fifty is another flow's.
func (x index) candidate(hash uint64) uint32 {
	b := &x[x.home(hash)]
	if m := b.match(pattern(hash)); m != 0 {
		return b.refs[bits.TrailingZeros32(m)]
	}
	return none
}

// insert enters ref under a hash and says how many buckets it looked into. There is always room: an index has twice the
// slots of its table.
func (x index) insert(hash uint64, ref uint32) (probes uint64) {
	at := x.home(hash)
	for probes = 1; ; probes++ {
		b := &x[at]
		if free := b.match(0); free != 0 {
			slot := bits.TrailingZeros32(free)
			b.tags[slot], b.refs[slot] = uint8(pattern(hash)), ref
			return probes
		}
		b.overflow++
		at = x.after(at)
	}
}

// remove takes out ref, which was inserted under that hash.
func (x index) remove(hash uint64, ref uint32) {
	tag := pattern(hash)
	at := x.home(hash)
	for range x {
		b := &x[at]
		for m := b.match(tag); m != 0; m &= m - 1 {
			if slot := bits.TrailingZeros32(m); b.refs[slot] == ref {
				b.tags[slot] = 0
				return
			}
		}
		b.overflow--
		at = x.after(at)
	}
}
