package api

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/koine-sd/koine/catalog"
)

// exchange makes a request whose answer the client leaves as it came.
func (b *bed) exchange(t *testing.T, path, encoding string) (header http.Header, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", b.http.URL+root+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept-Encoding", encoding)
	response, err := b.http.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.Header, body
}

func TestCompression(t *testing.T) {
	b := newBed(t)
	var many []catalog.Change
	for i := range 500 {
		many = append(many, instanceChange(instance("bulk", fmt.Sprintf("bulk-%d", i))))
	}
	b.apply(many...)
	for _, path := range []string{"/services/bulk", "/services/bulk?health=any", "/instances", "/nodes/n1", "/openapi.json"} {
		header, plain := b.exchange(t, path, "identity")
		if got := header.Get("Content-Encoding"); got != "" {
			t.Errorf("%s: encoding %s, which the client does not take", path, got)
		}
		header, packed := b.exchange(t, path, "br, gzip")
		if got := header.Get("Content-Encoding"); got != "gzip" || !strings.Contains(header.Get("Vary"), "Accept-Encoding") {
			t.Errorf("%s: encoding %q, vary %q", path, got, header.Get("Vary"))
			continue
		}
		if 3*len(packed) > len(plain) {
			t.Errorf("%s: %d bytes of %d", path, len(packed), len(plain))
		}
		reader, err := gzip.NewReader(strings.NewReader(string(packed)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(reader); err != nil || string(got) != string(plain) {
			t.Errorf("%s: unpacked %d bytes, %v; want %d", path, len(got), err, len(plain))
		}
	}
	for path, encoding := range map[string]string{"/services/web": "gzip", "/services/nope": "gzip", "/instances": "gzip;q=0", "/checks": "br"} {
		if header, _ := b.exchange(t, path, encoding); header.Get("Content-Encoding") != "" {
			t.Errorf("%s for %q: encoding %s", path, encoding, header.Get("Content-Encoding"))
		}
	}
}
