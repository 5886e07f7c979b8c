package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/minio/highwayhash"
)

// The server does not look at all it has when it starts, stops delivering at a message whose checksum is wrong, and cuts
// a block at the first thing that it does not understand, without many words. So the blocks are read before it starts: a
// damaged one is kept as it is among what was set aside, and what of it is whole goes on.
//
// A block is records, one after the other (nats-server 2.15, filestore.go, rebuildStateFromBufLocked): length in 4
// octets, little endian, its top bit set when there are headers; sequence and time in 8 octets each; length of the
// subject in 2; the subject, length of the headers in 4 where there are any, headers and message; HighwayHash-64 of
// sequence, time, subject, headers and message, its key the SHA-256 of "stream-block".
const (
	recordHead    = 22
	recordSum     = 8
	recordHeaders = 1 << 31
	recordLimit   = 32 << 20
)

// inspect looks through the blocks of all streams.
func (e *embedded) inspect() error {
	blocks, err := filepath.Glob(filepath.Join(e.cfg.Dir, accountDir, "*", "msgs", "*.blk"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range blocks {
		errs = append(errs, e.inspectBlock(path))
	}
	return errors.Join(errs...)
}

func (e *embedded) inspectBlock(path string) error {
	stream := filepath.Base(filepath.Dir(filepath.Dir(path)))
	number, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), ".blk"), 10, 32)
	if err != nil {
		return nil // not the server's
	}
	block, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read a block of the journal: %w", err)
	}
	whole, bad := wholeRecords(block, fmt.Sprintf("%s-%d", stream, number))
	if bad == 0 {
		return nil
	}
	to, err := e.aside()
	if err != nil {
		return err
	}
	kept, text := filepath.Join(to, stream+"-"+filepath.Base(path)), "a file of the journal is damaged; "+
		"the messages in it that cannot be read are lost, the file was set aside"
	mend := func() error { return exchange(path, whole) }
	if bytes.HasPrefix(block, whole) { // a crash in the midst of a write leaves this, of a message that was not acknowledged
		kept, text, block = kept+".end", "a file of the journal ends in the midst of a message; that end was set aside", block[len(whole):]
		mend = func() error { return os.Truncate(path, int64(len(whole))) } // a full disk has room for that
	}
	if err := writeSynced(kept, block); err != nil {
		return fmt.Errorf("set a damaged block aside: %w", err)
	}
	if err := mend(); err != nil {
		return fmt.Errorf("mend a damaged block: %w", err)
	}
	// The index speaks of records that are gone: without it the server reads the blocks.
	if err := os.Remove(filepath.Join(filepath.Dir(path), "index.db")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the index of a damaged block: %w", err)
	}
	e.log.Error("the journal was mended", "what", text, "stream", stream, "file", kept, "damaged_bytes", bad, "whole_bytes", len(whole))
	return nil
}

// exchange gives a file another content, or leaves it as it is.
func exchange(path string, content []byte) error {
	next := path + ".mended"
	if err := writeSynced(next, content); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return os.Rename(next, path)
}

// writeSynced returns when the content is on the disk.
func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// wholeRecords gives a block without what cannot be read, and the number of octets that it left out: for a torn
// end too, which a crash leaves where nothing was acknowledged.
func wholeRecords(block []byte, key string) (whole []byte, bad int) {
	sum := sha256.Sum256([]byte(key))
	hash, err := highwayhash.NewDigest64(sum[:])
	if err != nil {
		return block, 0
	}
	whole = make([]byte, 0, len(block))
	for rest := block; len(rest) > 0; {
		length, ok := recordLength(rest)
		if !ok {
			return whole, bad + len(rest)
		}
		record := rest[:length]
		body, sum := record[recordHead:length-recordSum], record[length-recordSum:]
		subject := int(binary.LittleEndian.Uint16(record[20:]))
		message := body[subject:]
		if binary.LittleEndian.Uint32(record)&recordHeaders != 0 {
			message = message[4:]
		}
		hash.Reset()
		_, _ = hash.Write(record[4:20])
		_, _ = hash.Write(body[:subject])
		_, _ = hash.Write(message)
		if bytes.Equal(hash.Sum(nil), sum) {
			whole = append(whole, record...)
		} else {
			bad += length
		}
		rest = rest[length:]
	}
	return whole, bad
}

// recordLength gives the length of the first record, and false when there can be none.
func recordLength(rest []byte) (int, bool) {
	if len(rest) < recordHead+recordSum {
		return 0, false
	}
	length := binary.LittleEndian.Uint32(rest)
	need := recordHead + recordSum + int(binary.LittleEndian.Uint16(rest[20:]))
	if length&recordHeaders != 0 {
		need += 4
	}
	length &^= recordHeaders
	return int(length), int(length) >= need && length <= recordLimit && int(length) <= len(rest)
}
