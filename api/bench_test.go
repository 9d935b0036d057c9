package api

import (
	"github.com/koine-sd/koine/catalog"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkLookup compares a lookup with a server that answers the same bytes without any work.
func BenchmarkLookup(b *testing.B) {
	f, s := newOffline(b)
	body := s.bodyOf(f.view.Service("web"), catalog.AllNetworks, f.view.Marks()).healthy.bytes
	constant := http.NewServeMux()
	constant.HandleFunc("GET "+root+"/services/{name}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	for name, handler := range map[string]http.Handler{"koine": s.Handler(), "constant": constant} {
		b.Run(name, func(b *testing.B) { hammer(b, handler) })
	}
}

func hammer(b *testing.B, handler http.Handler) {
	server := httptest.NewServer(handler)
	defer server.Close()
	server.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			response, err := server.Client().Get(server.URL + root + "/services/web")
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	})
}

// BenchmarkLookupHandler leaves the network out.
func BenchmarkLookupHandler(b *testing.B) {
	_, s := newOffline(b)
	request := httptest.NewRequest("GET", root+"/services/web", nil)
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		s.Handler().ServeHTTP(w, request)
	}
}
