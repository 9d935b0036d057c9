package api

import (
	"compress/gzip"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// minCompressed is the length from which on an answer is compressed: below it the time costs more than the bytes. Lookups of
// most services stay below.
const minCompressed = 4 << 10

// compressed wraps a handler that answers with whole bodies, for clients that take gzip. Streams must not be wrapped: each
// would hold the memory of a compressor for as long as it is open.
func compressed(next http.Handler) (http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(minCompressed), gzhttp.CompressionLevel(gzip.BestSpeed), gzhttp.EnableZstd(false))
	if err != nil {
		return nil, err
	}
	wrapped := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			next.ServeHTTP(w, r) // without Vary: no answer may be stored
			return
		}
		wrapped(w, r)
	}), nil
}
