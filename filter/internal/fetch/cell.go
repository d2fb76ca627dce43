// Package fetch decides when a VM fetches and what an answer is worth. It is pure: time, randomness and memory come in.
package fetch

import (
	"encoding/binary"

	"token_injector/internal/token"
)

// Cell is memory for one value. Shared between VMs it makes them fetch once, private to one it makes that VM fetch alone.
type Cell interface {
	// Load returns the value and its version, 0 if there was never one.
	Load() (data []byte, version uint32)
	// Swap puts data in place of the value that had that version. Version 0 overwrites whatever is there.
	Swap(data []byte, version uint32) bool
}

// Private is a Cell of one VM.
type Private struct {
	data    []byte
	version uint32
}

func (p *Private) Load() ([]byte, uint32) { return p.data, p.version }

func (p *Private) Swap(data []byte, version uint32) bool {
	if version != 0 && version != p.version {
		return false
	}
	p.data = append([]byte(nil), data...)
	p.version++
	return true
}

// put overwrites a cell whoever else is writing.
func put(c Cell, data []byte) bool {
	for range 8 {
		_, version := c.Load()
		if c.Swap(data, version) {
			return true
		}
	}
	return false
}

func encodeToken(t token.Token) []byte {
	b := make([]byte, 0, 16+len(t.Value))
	b = binary.LittleEndian.AppendUint64(b, uint64(t.FetchedMS))
	b = binary.LittleEndian.AppendUint64(b, uint64(t.ExpiresMS))
	return append(b, t.Value...)
}

func decodeToken(b []byte) (t token.Token) {
	if len(b) > 16 {
		t.FetchedMS = int64(binary.LittleEndian.Uint64(b))
		t.ExpiresMS = int64(binary.LittleEndian.Uint64(b[8:]))
		t.Value = string(b[16:])
	}
	return t
}

// lease says who may fetch, and when the next one may.
type lease struct {
	holder   uint64 // 0: nobody
	untilMS  int64  // the holder's, unless it renews
	endedMS  int64  // the last fetch
	pauseMS  int64  // from then on
	failures uint32 // in a row
	last     Outcome
}

const leaseBytes = 4*8 + 4 // and the outcome

func encodeLease(l lease) []byte {
	b := make([]byte, 0, leaseBytes+len(l.last))
	b = binary.LittleEndian.AppendUint64(b, l.holder)
	b = binary.LittleEndian.AppendUint64(b, uint64(l.untilMS))
	b = binary.LittleEndian.AppendUint64(b, uint64(l.endedMS))
	b = binary.LittleEndian.AppendUint64(b, uint64(l.pauseMS))
	b = binary.LittleEndian.AppendUint32(b, l.failures)
	return append(b, l.last...)
}

func decodeLease(b []byte) (l lease) {
	if len(b) >= leaseBytes {
		l.holder = binary.LittleEndian.Uint64(b)
		l.untilMS = int64(binary.LittleEndian.Uint64(b[8:]))
		l.endedMS = int64(binary.LittleEndian.Uint64(b[16:]))
		l.pauseMS = int64(binary.LittleEndian.Uint64(b[24:]))
		l.failures = binary.LittleEndian.Uint32(b[32:])
		l.last = Outcome(b[leaseBytes:])
	}
	return l
}
