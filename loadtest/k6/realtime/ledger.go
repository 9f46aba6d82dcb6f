package realtime

import (
	"strconv"
	"strings"
)

// verdict is what a ledger says of one event.
type verdict int

const (
	inOrder verdict = iota
	// repeated: this stream had it already.
	repeated
	// reordered: a later change was here before it.
	reordered
)

// ledger is the account of one stream: every writer counts its changes 1, 2, 3 …, so a stream can tell by itself what
// it missed. lib/ledger.js is the same in JavaScript.
type ledger struct {
	writers map[string]*tally

	// Where the server says that the stream is, "EPOCH:SEQ". It may only grow, over all writers.
	epoch    string
	sequence uint64
}

type tally struct {
	first, last int64
	// Numbers between the two that have not come.
	missing map[int64]struct{}
}

// see enters an event. A position of another form than "EPOCH:SEQ" says nothing: PocketBase has none.
func (l *ledger) see(writer string, n int64, position string) verdict {
	result := l.count(writer, n)
	epoch, text, found := strings.Cut(position, ":")
	if sequence, err := strconv.ParseUint(text, 10, 64); found && err == nil {
		if epoch == l.epoch && sequence < l.sequence && result == inOrder {
			result = reordered
		}
		if epoch != l.epoch || sequence > l.sequence {
			l.epoch, l.sequence = epoch, sequence
		}
	}
	return result
}

func (l *ledger) count(writer string, n int64) verdict {
	t := l.writers[writer]
	switch {
	case t == nil:
		if l.writers == nil {
			l.writers = make(map[string]*tally, 1)
		}
		// The position's text shares memory with a whole message; this one stays.
		l.writers[strings.Clone(writer)] = &tally{first: n, last: n}
		return inOrder
	case n > t.last:
		t.miss(t.last+1, n)
		t.last = n
		return inOrder
	case n < t.first:
		t.miss(n+1, t.first)
		t.first = n
		return reordered
	}
	if _, was := t.missing[n]; was {
		delete(t.missing, n)
		return reordered
	}
	return repeated
}

func (t *tally) miss(from, before int64) {
	for n := from; n < before; n++ {
		if t.missing == nil {
			t.missing = make(map[int64]struct{})
		}
		t.missing[n] = struct{}{}
	}
}

// lost is how many changes have not come of those that every writer made above its number in `after`, up to its number
// in `upTo`. Both are what the server itself says: read once when the subscription stands, and once at the end.
func (l *ledger) lost(after, upTo map[string]int64) int64 {
	var lost int64
	for writer, end := range upTo {
		start := after[writer]
		t := l.writers[writer]
		if t == nil {
			lost += max(0, end-start)
			continue
		}
		lost += max(0, min(t.first-1, end)-start) + max(0, end-max(t.last, start))
		for n := range t.missing {
			if n > start && n <= end {
				lost++
			}
		}
	}
	return lost
}
