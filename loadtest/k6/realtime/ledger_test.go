package realtime

import "testing"

func TestLedger(t *testing.T) {
	type counts map[string]int64
	cases := []struct {
		name                      string
		events                    []int64
		after, upTo               counts
		lost, repeated, reordered int64
	}{
		{"all in order", []int64{4, 5, 6}, counts{"w": 3}, counts{"w": 6}, 0, 0, 0},
		{"nothing happened", nil, counts{"w": 3}, counts{"w": 3}, 0, 0, 0},
		{"nothing came", nil, counts{"w": 3}, counts{"w": 6}, 3, 0, 0},
		{"a new writer", []int64{1, 2}, counts{}, counts{"w": 2}, 0, 0, 0},
		{"the first is lost", []int64{5, 6}, counts{"w": 3}, counts{"w": 6}, 1, 0, 0},
		{"a gap", []int64{4, 7}, counts{"w": 3}, counts{"w": 7}, 2, 0, 0},
		{"the last is lost", []int64{4, 5}, counts{"w": 3}, counts{"w": 6}, 1, 0, 0},
		{"twice", []int64{4, 4, 5, 4}, counts{"w": 3}, counts{"w": 5}, 0, 2, 0},
		{"late is not lost", []int64{4, 6, 5}, counts{"w": 3}, counts{"w": 6}, 0, 0, 1},
		{"late twice", []int64{4, 6, 5, 5}, counts{"w": 3}, counts{"w": 6}, 0, 1, 1},
		{"the first comes late", []int64{6, 4, 5}, counts{"w": 3}, counts{"w": 6}, 0, 0, 2},
		{"from before the start", []int64{2, 3, 4}, counts{"w": 3}, counts{"w": 4}, 0, 0, 0},
		{"a gap before the start", []int64{1, 4}, counts{"w": 3}, counts{"w": 4}, 0, 0, 0},
		{"only from before the start", []int64{2}, counts{"w": 3}, counts{"w": 5}, 2, 0, 0},
		{"beyond the end", []int64{4, 7}, counts{"w": 3}, counts{"w": 5}, 1, 0, 0},
		{"only from beyond the end", []int64{9}, counts{"w": 3}, counts{"w": 5}, 2, 0, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var l ledger
			var seen [3]int64
			for _, n := range c.events {
				seen[l.see("w", n, "")]++
			}
			if lost := l.lost(c.after, c.upTo); lost != c.lost || seen[repeated] != c.repeated || seen[reordered] != c.reordered {
				t.Errorf("lost %d, repeated %d, reordered %d", lost, seen[repeated], seen[reordered])
			}
		})
	}
}

func TestPositionsOnlyGrow(t *testing.T) {
	var l ledger
	// Each writer's own numbers are in order; the second event of b is older than what came before it.
	for i, e := range []struct {
		writer, position string
		n                int64
		want             verdict
	}{
		{"a", "x:1", 1, inOrder},
		{"a", "x:5", 2, inOrder},
		{"b", "x:3", 1, reordered},
		{"b", "y:1", 2, inOrder},
		{"b", "client", 3, inOrder},
		{"b", "y:2", 4, inOrder},
	} {
		if got := l.see(e.writer, e.n, e.position); got != e.want {
			t.Errorf("event %d: %v", i, got)
		}
	}
}
