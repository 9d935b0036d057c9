package engine

import "testing"

// TestCloseReportsTheStoresError closes the lock of the directory first, so that the store's own close fails.
func TestCloseReportsTheStoresError(t *testing.T) {
	e, err := Open(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.embedded.lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err == nil {
		t.Error("the store's error is lost")
	}
}
