package hugemem

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the smallest transparent huge page of the architectures we build for, with 4 KiB base pages.
const hugePage = 2 << 20

// ErrPointers is what Make gives for a type that holds pointers: the garbage collector does not look here.
var ErrPointers = errors.New("element type holds pointers")

// Block is one array of plain values. The zero value is an empty block.
type Block[T any] struct {
	data    []T
	mapping []byte
	cleanup runtime.Cleanup
}

// Make reserves n zero values of T, which must be free of pointers. Pages become resident when they are first written.
func Make[T any](n int) (*Block[T], error) {
	elem := reflect.TypeFor[T]()
	if !plain(elem) {
		return nil, fmt.Errorf("reserve memory for %s: %w", elem, ErrPointers)
	}
	const room = int(^uint(0)>>1) - hugePage
	width := int(elem.Size())
	if n < 0 || width > 0 && n > room/width {
		return nil, fmt.Errorf("reserve memory for %d x %s: %w", n, elem, unix.ENOMEM)
	}
	if n*width == 0 {
		return &Block[T]{data: make([]T, n)}, nil
	}
	// Room to begin on a huge page's boundary: kernels before 6.7 do not align a mapping by themselves.
	mapping, err := unix.Mmap(-1, 0, n*width+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve %d MiB of memory: %w", n*width>>20, err)
	}
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(mapping))) % hugePage)
	usable := mapping[skip : skip+n*width]
	if len(usable) >= hugePage {
		// Refused by kernels without huge pages (EINVAL): then the block lives on small ones.
		_ = unix.Madvise(usable[:len(usable)/hugePage*hugePage], unix.MADV_HUGEPAGE)
	}
	b := &Block[T]{data: unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(usable))), n), mapping: mapping}
	b.cleanup = runtime.AddCleanup(b, func(m []byte) { _ = unix.Munmap(m) }, mapping)
	return b, nil
}

// Slice is the array. It and everything sliced from it are dead once the block is closed or unreachable: keep the
// block as long as the slice, beside it, and never let the slice out.
func (b *Block[T]) Slice() []T { return b.data }

// Close gives the memory back. It is idempotent.
func (b *Block[T]) Close() error {
	if b == nil {
		return nil
	}
	mapping := b.mapping
	b.data, b.mapping = nil, nil
	if mapping == nil {
		return nil
	}
	b.cleanup.Stop()
	if err := unix.Munmap(mapping); err != nil {
		return fmt.Errorf("unmap memory: %w", err)
	}
	return nil
}

// plain reports whether values of t hold no pointer.
func plain(t reflect.Type) bool {
	kind := t.Kind()
	if kind == reflect.Array {
		return plain(t.Elem())
	}
	if kind == reflect.Struct {
		for field := range t.Fields() {
			if !plain(field.Type) {
				return false
			}
		}
		return true
	}
	return kind >= reflect.Bool && kind <= reflect.Complex128 && kind != reflect.Uintptr
}
