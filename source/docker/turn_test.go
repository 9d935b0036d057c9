package docker

import (
	"context"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// turn sets the health of a demo service.
func turn(t *testing.T, ip netip.Addr, ok string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	url := "http://" + netip.AddrPortFrom(ip, 80).String() + "/health?ok=" + ok
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: %s", url, response.Status)
	}
}
