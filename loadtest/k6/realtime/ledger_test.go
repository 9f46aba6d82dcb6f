package realtime

import (
	"encoding/json"
	"os"
	"testing"
)

// The cases are those of lib/ledger.js.
func TestLedger(t *testing.T) {
	text, err := os.ReadFile("../../lib/ledger-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name                      string
		Events                    []event
		After, UpTo               map[string]int64
		Lost, Repeated, Reordered int64
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			var l ledger
			var seen [3]int64
			for _, e := range c.Events {
				seen[l.see(e.writer, e.n, e.position)]++
			}
			if lost := l.lost(c.After, c.UpTo); lost != c.Lost || seen[repeated] != c.Repeated || seen[reordered] != c.Reordered {
				t.Errorf("lost %d, repeated %d, reordered %d", lost, seen[repeated], seen[reordered])
			}
		})
	}
}

type event struct {
	writer   string
	n        int64
	position string
}

func (e *event) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&e.writer, &e.n, &e.position})
}
