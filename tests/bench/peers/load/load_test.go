package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheRankOfAShareIsTheSmallestLatencyThatTheShareDoesNotExceed(t *testing.T) {
	sorted := make([]time.Duration, 1000)
	for i := range sorted {
		sorted[i] = time.Duration(i+1) * time.Millisecond
	}
	for share, want := range map[float64]float64{0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		if got := rank(sorted, share); got != want {
			t.Errorf("rank of %v is %v, want %v", share, got, want)
		}
	}
}

func TestTheRankOfOneLatencyIsThatOne(t *testing.T) {
	if got := rank([]time.Duration{3 * time.Millisecond}, 0.999); got != 3 {
		t.Errorf("rank is %v, want 3", got)
	}
}

func TestEachRequestHasAnotherNumberInPlaceOfEachMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bodies")
	if err := os.WriteFile(path, []byte("a-########-########\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bodies, err := readBodies(path)
	if err != nil {
		t.Fatal(err)
	}
	one := connection{bodies: bodies}
	var seen []string
	for range 2 {
		one.prepare()
		_, body, _ := strings.Cut(string(one.request), "\r\n\r\n")
		parts := strings.Split(body, "-")
		if len(body) != 19 || parts[1] != parts[2] || strings.Contains(body, "#") {
			t.Fatalf("the body is %q", body)
		}
		seen = append(seen, parts[1])
	}
	if seen[0] == seen[1] {
		t.Errorf("both requests have %s", seen[0])
	}
}
