package docker

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/koine-sd/koine/internal/eventually"
)

// turn sets the health of a demo service.
func turn(t *testing.T, ip netip.Addr, ok string) {
	t.Helper()
	url := "http://" + netip.AddrPortFrom(ip, 80).String() + "/health?ok=" + ok
	request, err := http.NewRequestWithContext(eventually.Context(t), http.MethodPut, url, nil)
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
