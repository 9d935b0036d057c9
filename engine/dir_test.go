package engine

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestClaimedIsTheLastClaim(t *testing.T) {
	dir := t.TempDir()
	if at, err := Claimed(dir); err != nil || !at.IsZero() {
		t.Errorf("never claimed: %v, %v", at, err)
	}
	for range 2 {
		lock, err := Claim(dir)
		if err != nil {
			t.Fatal(err)
		}
		lock.Close()
		at, err := Claimed(dir)
		if err != nil || time.Since(at) > 30*time.Minute {
			t.Errorf("claimed at %v, %v", at, err)
		}
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(filepath.Join(dir, markerFile), old, old); err != nil {
			t.Fatal(err)
		}
	}
}
