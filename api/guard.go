package api

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// GuardConfig lists the names by which clients reach a server, and the other servers whose pages may use it. IP addresses,
// "localhost" and names without a dot are always its own: nobody else can own such a name.
type GuardConfig struct {
	// Names are the names of this host.
	Names []string
	// Zones are the domains of Koine's names; each name in them is the server's.
	Zones []string
	// Hosts are the values of --http-host: a name, or *.corp.example for all names below one.
	Hosts []string
	// Origins are the values of --cors-origin: the origins whose pages may use the API, such as https://ui.corp.example.
	Origins []string
}

// Guard keeps the pages that a browser shows from using a server that only the browser's host can reach. A page of
// another server has an origin of its own; one whose name was made to lead here (DNS rebinding) has that name as its
// host.
type Guard struct {
	names   map[string]bool
	below   []string // ends of names, each with its leading dot
	origins map[string]bool
}

// NewGuard returns a Guard. Its errors are of KindInvalid, and name the flag.
func NewGuard(cfg GuardConfig) (*Guard, error) {
	g := &Guard{names: map[string]bool{"localhost": true}, origins: make(map[string]bool)}
	for _, name := range cfg.Names {
		g.names[plainName(name)] = true
	}
	for _, zone := range cfg.Zones {
		g.names[plainName(zone)] = true
		g.below = append(g.below, "."+plainName(zone))
	}
	for _, host := range cfg.Hosts {
		name, all := strings.CutPrefix(plainName(host), "*.")
		if !catalog.ValidHost(name) {
			return nil, catalog.Errorf(catalog.KindInvalid, "--http-host %q is not a name", host).
				WithHint("write it as koine.corp.example, or *.corp.example for all names below, without a port")
		}
		if all {
			g.below = append(g.below, "."+name)
		} else {
			g.names[name] = true
		}
	}
	for _, text := range cfg.Origins {
		origin, ok := parseOrigin(text)
		if !ok {
			return nil, catalog.Errorf(catalog.KindInvalid, "--cors-origin %q is not an origin", text).
				WithHint("write it as https://ui.corp.example or http://localhost:3000")
		}
		g.origins[origin] = true
	}
	return g, nil
}

func plainName(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// parseOrigin returns an origin as browsers write it: in lower case, and without the port that its scheme implies.
func parseOrigin(text string) (origin string, ok bool) {
	u, err := url.Parse(strings.ToLower(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Scheme+"://"+u.Host != strings.ToLower(text) {
		return "", false
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil && !catalog.ValidHost(u.Hostname()) {
		return "", false
	}
	return u.Scheme + "://" + withoutPort(u.Host, u.Scheme), true
}

// withoutPort cuts off the port that a scheme implies.
func withoutPort(host, scheme string) string {
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// ownHost reports whether the value of a Host header names this server. HTTP/1.0 has none, and no browser sends that.
func (g *Guard) ownHost(value string) bool {
	if value == "" {
		return true
	}
	host, ok := splitPort(value)
	if !ok || host == "" {
		return false
	}
	if strings.Contains(host, ":") {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	name := strings.ToLower(host)
	if g.names[strings.TrimSuffix(name, ".")] || catalog.EndsInNumber(name) {
		return true // a browser takes what ends in a number for an IPv4 address, or refuses it
	}
	if !strings.Contains(name, ".") {
		return catalog.ValidHost(name)
	}
	name = strings.TrimSuffix(name, ".")
	return slices.ContainsFunc(g.below, func(end string) bool { return strings.HasSuffix(name, end) })
}

// splitPort returns the host of a Host header, without the brackets of an IPv6 address; false if it is malformed.
func splitPort(value string) (host string, ok bool) {
	host, port := value, ""
	if rest, bracketed := strings.CutPrefix(value, "["); bracketed {
		var found bool
		if host, port, found = strings.Cut(rest, "]"); !found || !strings.Contains(host, ":") {
			return "", false
		}
		if port, found = strings.CutPrefix(port, ":"); !found && port != "" {
			return "", false
		}
	} else if strings.Count(value, ":") == 1 {
		host, port, _ = strings.Cut(value, ":")
	}
	return host, strings.Trim(port, "0123456789") == ""
}

// foreign returns why a request is refused; nil if it is not. It also returns the origin that answers are to be shared
// with, if the request comes from one that is allowed.
func (g *Guard) foreign(r *http.Request) (share string, refused *catalog.Error) {
	if !g.ownHost(r.Host) {
		return "", foreignHost(r.Host)
	}
	origins := r.Header["Origin"]
	switch {
	case len(origins) == 0:
		if changes(r.Method) && !ownSite(r.Header.Get("Sec-Fetch-Site")) {
			return "", catalog.Errorf(catalog.KindDenied, "pages of other servers may not change anything here").
				WithHint("allow their origin with --cors-origin")
		}
		return "", nil
	case len(origins) == 1 && g.origins[origins[0]]:
		return origins[0], nil
	case len(origins) == 1 && sameOrigin(origins[0], r.Host):
		return "", nil
	default:
		return "", catalog.Errorf(catalog.KindDenied, "pages of %.100q may not use this server", strings.Join(origins, ", ")).
			WithHint("allow their origin with --cors-origin, if they should")
	}
}

func foreignHost(host string) *catalog.Error {
	err := catalog.Errorf(catalog.KindDenied, "%.100q is not a name of this server", host)
	if name, ok := splitPort(host); ok && catalog.ValidHost(name) {
		return err.WithHint("use its IP address or localhost, or allow the name with --http-host %.253s", plainName(name))
	}
	return err.WithHint("use its IP address or localhost, or allow a name with --http-host")
}

func changes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// ownSite reports whether the value of Sec-Fetch-Site, which browsers send and pages cannot set, says that a person or a
// page of this server made the request. Other programs send none.
func ownSite(site string) bool { return site == "" || site == "same-origin" || site == "none" }

// sameOrigin reports whether an origin is that of the requests to a host: their scheme is not known behind a proxy.
func sameOrigin(origin, host string) bool {
	scheme, at, found := strings.Cut(strings.ToLower(origin), "://")
	return found && (scheme == "http" || scheme == "https") && host != "" &&
		withoutPort(at, scheme) == withoutPort(strings.ToLower(host), scheme)
}

// Headers that say the same in each answer; nothing changes them.
var (
	noSniff    = []string{"nosniff"}
	noStore    = []string{"no-store"}
	notShared  = []string{"same-origin"}
	varyOrigin = []string{"Origin"}
	// exposed are the headers that pages of other origins may read.
	exposed = []string{strings.Join([]string{client.HeaderRevision, client.HeaderIndex, client.HeaderAge, "Retry-After"}, ", ")}
)

// Front wraps everything that is served at the server's HTTP address, on all paths: it refuses what the Guard does, paths
// that are not canonical, and all requests once the server stops, and sets the headers that keep browsers from sharing
// answers.
func (s *Server) Front(g *Guard, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["X-Content-Type-Options"], h["Cache-Control"], h["Cross-Origin-Resource-Policy"] = noSniff, noStore, notShared
		share, foreign := g.foreign(r)
		switch {
		case foreign != nil:
			s.refuse(w, r, foreign)
		case s.stopping():
			s.refuse(w, r, errStopping)
		case share != "" && allowShared(h, r, share):
			w.WriteHeader(http.StatusNoContent)
		case !canonical(r.URL.EscapedPath()):
			s.refuse(w, r, catalog.Errorf(catalog.KindInvalid, "path %.200q has an empty segment, or one of dots", r.URL.Path).
				WithHint("percent-encode the id: a slash in it is %%2F, a dot %%2E"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// canonical reports whether a path names what it appears to name. http.ServeMux answers others with a redirect, and a client
// that follows it would ask for another id.
func canonical(escaped string) bool {
	return !strings.Contains(escaped, "//") && !strings.Contains(escaped+"/", "/./") && !strings.Contains(escaped+"/", "/../")
}

// allowShared sets the headers of the Fetch standard's CORS protocol, and reports whether the request was only the
// question whether another may be made.
func allowShared(h http.Header, r *http.Request, origin string) (preflight bool) {
	h["Access-Control-Allow-Origin"], h["Vary"] = []string{origin}, varyOrigin
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		h["Access-Control-Expose-Headers"] = exposed
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", "Content-Type, Last-Event-ID, "+client.HeaderRegistrant)
	h.Set("Access-Control-Max-Age", "600")
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	return true
}
