package health

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/koine-sd/koine/catalog"
)

// TestSecretsStayWithTheirServer holds that a redirect leads nothing that a check has for one server to another: not by the
// port, not by the scheme, and not after a second redirect.
func TestSecretsStayWithTheirServer(t *testing.T) {
	secrets := []string{"Bearer s3cr3t", "k3y", "c00kie", "q-s3cr3t", "p4ss", "b0dy"}
	var foreign func(http.ResponseWriter, *http.Request)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { foreign(w, r) })
	plain, encrypted := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer encrypted.Close()
	for _, other := range []*httptest.Server{plain, encrypted} {
		for _, code := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
			for _, body := range []string{"", "b0dy"} {
				var home *httptest.Server
				hops := 0
				foreign = func(w http.ResponseWriter, r *http.Request) {
					hops++
					var got strings.Builder
					if err := r.Write(&got); err != nil {
						t.Error(err)
					}
					for _, secret := range secrets {
						if strings.Contains(got.String(), secret) {
							t.Errorf("%d to %s: %q went along:\n%s", code, other.URL, secret, got.String())
						}
					}
					if hops == 1 {
						http.Redirect(w, r, "/again", code)
					}
				}
				home = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Api-Key") != "k3y" {
						t.Errorf("the check's own server gets %v", r.Header)
					}
					http.Redirect(w, r, other.URL+"/secret", code)
				}))
				method := http.MethodGet
				if body != "" {
					method = http.MethodPost
				}
				got := probe(t, catalog.Definition{
					Type: catalog.CheckHTTP, Method: method, Body: body, TLSSkipVerify: true,
					HTTP: strings.Replace(home.URL, "//", "//me:p4ss@", 1) + "/?token=q-s3cr3t",
					Header: map[string][]string{
						"authorization": {"Bearer s3cr3t"}, "X-Api-Key": {"k3y"}, "Cookie": {"id=c00kie"},
					},
				})
				want := catalog.Passing
				if resent := code >= http.StatusTemporaryRedirect; resent && body != "" {
					want = catalog.Critical
				}
				expect(t, got, want)
				home.Close()
			}
		}
	}
}

func TestRedirectsAreDisabled(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/", http.RedirectHandler("/login?next=%2F&sid=s3cr3t#t0ken", http.StatusFound))
	mux.HandleFunc("/login", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	defer server.Close()
	def := catalog.Definition{Type: catalog.CheckHTTP, HTTP: server.URL}
	expect(t, probe(t, def), catalog.Passing)
	def.DisableRedirects = true
	got := probe(t, def)
	expect(t, got, catalog.Critical, "302 Found to /login?next=xxxxx&sid=xxxxx")
	if strings.Contains(got.Output, "t0ken") || strings.Contains(got.Output, "s3cr3t") {
		t.Errorf("output tells a secret: %q", got.Output)
	}
}

// TestRedirectsTellNoSecrets holds that neither the address nor the body of a redirect shows a secret that the server repeats,
// and that a redirect without a scheme takes no Host along.
func TestRedirectsTellNoSecrets(t *testing.T) {
	const unreadable = "http://other.example/%zz?"
	mux := http.NewServeMux()
	mux.HandleFunc("/body", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://other.example"+r.URL.RequestURI(), http.StatusFound)
	})
	mux.HandleFunc("/unreadable", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", unreadable+r.URL.RawQuery)
		w.WriteHeader(http.StatusFound)
	})
	host := ""
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host = r.Host }))
	defer other.Close()
	mux.HandleFunc("/host", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", strings.TrimPrefix(other.URL, "http:"))
		w.WriteHeader(http.StatusFound)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]string{
		"/body": "302 Found to http://other.example/body?token=xxxxx", "/unreadable": "a redirect to an address that cannot be read",
	} {
		got := probe(t, catalog.Definition{Type: catalog.CheckHTTP, HTTP: server.URL + path + "?token=s3cr3t"})
		expect(t, got, catalog.Critical, want)
		if strings.Contains(got.Output, "s3cr3t") {
			t.Errorf("output tells a secret: %q", got.Output)
		}
	}
	expect(t, probe(t, catalog.Definition{
		Type: catalog.CheckHTTP, HTTP: server.URL + "/host", Header: map[string][]string{"Host": {"s3cr3t.example"}},
	}), catalog.Passing)
	if host == "" || strings.Contains(host, "s3cr3t") {
		t.Errorf("another port got the host %q", host)
	}
}

func TestOutputsHideSecretsOfURLs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	address := strings.TrimPrefix(server.URL, "http://")
	for url, want := range map[string]string{
		"http://ADDRESS/h?token=S3CR3T&verbose=":  "http://ADDRESS/h?token=xxxxx&verbose=xxxxx: ",
		"http://ADDRESS/h?S3CR3T":                 "http://ADDRESS/h?xxxxx: ",
		"http://ADDRESS/h?a=1;b=S3CR3T&c":         "http://ADDRESS/h?a=xxxxx&xxxxx: ",
		"http://me:S3CR3T@ADDRESS/h":              "http://me:xxxxx@ADDRESS/h: ",
		"http://S3CR3T@ADDRESS/h":                 "http://xxxxx@ADDRESS/h: ",
		"http://ADDRESS/h#S3CR3T":                 "http://ADDRESS/h: ",
		"http://ADDRESS/plain":                    "http://ADDRESS/plain: ",
		"http://me:S3CR3T@ADDRESS/?access=S3CR3T": "http://me:xxxxx@ADDRESS/?access=xxxxx: ",
	} {
		got := probe(t, catalog.Definition{Type: catalog.CheckHTTP, HTTP: strings.ReplaceAll(url, "ADDRESS", address)})
		if !strings.Contains(got.Output, strings.ReplaceAll(want, "ADDRESS", address)) || strings.Contains(got.Output, "S3CR3T") {
			t.Errorf("%s: output %q, want %q", url, got.Output, want)
		}
	}
	server.Close()
	got := probe(t, catalog.Definition{Type: catalog.CheckHTTP, HTTP: server.URL + "/?token=S3CR3T"})
	expect(t, got, catalog.Critical, "token=xxxxx", "refused")
	if strings.Contains(got.Output, "S3CR3T") {
		t.Errorf("output tells a secret: %q", got.Output)
	}
}

// TestBodiesThatDoNotArrive holds that a status alone does not pass.
func TestBodiesThatDoNotArrive(t *testing.T) {
	hang := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("abc"))
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("abc"))
		_ = http.NewResponseController(w).Flush()
		<-hang
	})
	mux.HandleFunc("/switch", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(hang)
	check := func(path string) catalog.Definition {
		return catalog.Definition{Type: catalog.CheckHTTP, HTTP: server.URL + path}
	}
	expect(t, probe(t, check("/short")), catalog.Critical, "200 OK, and then: unexpected EOF\nabc")
	expect(t, probe(t, check("/switch")), catalog.Critical, "101 Switching Protocols")
	expect(t, within(t, 2*time.Second, check("/hang")), catalog.Critical, "200 OK, and then: timed out after 2s\nabc")
}
