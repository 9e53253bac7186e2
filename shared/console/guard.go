package console

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"slices"
)

// refusal is a request that is refused for what it is.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

// headers are sent with each response. Everything that a page uses comes from the console itself, and no other page may hold it in a frame.
var headers = map[string]string{
	"Content-Security-Policy":      "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

// guard lets only requests in that a page of this console, or its user, makes. A page of another site can make the browser send a request here, also
// under a name of its own that leads to this machine; the browser then names that site as Host or as Origin.
func (c *Console) guard(h http.Handler) http.Handler {
	own := []string{c.Host}
	if _, port, err := net.SplitHostPort(c.Host); err == nil {
		own = append(own, net.JoinHostPort("localhost", port))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		switch {
		case !slices.Contains(own, r.Host):
			c.fail(w, r, &refusal{http.StatusForbidden, "this console is at http://" + c.Host + ", and serves no other host"})
		case !ownOrigin(r, own), crossed(r):
			c.fail(w, r, &refusal{http.StatusForbidden, "a page of another site asks for this"})
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// ownOrigin reports whether a request comes from a page of the console, as far as the browser says from where.
func ownOrigin(r *http.Request, own []string) bool {
	for _, origin := range r.Header.Values("Origin") {
		from, err := url.Parse(origin)
		if err != nil || from.Scheme != "http" || !slices.Contains(own, from.Host) {
			return false
		}
	}
	return true
}

// crossed reports whether another site makes the request, and does not only lead its user here.
func crossed(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	led := r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	return (site == "cross-site" || site == "same-site") && !led
}

// permitted lets an action through if the console has actions, and the request carries the token of the console's pages.
func (c *Console) permitted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case c.ReadOnly:
			c.fail(w, r, &refusal{http.StatusForbidden, "this console only reads: it was started with --read-only"})
		case subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Drover-Token")), []byte(c.token)) != 1:
			c.fail(w, r, &refusal{http.StatusForbidden, "the header X-Drover-Token does not have this console's token; load the page again"})
		default:
			h.ServeHTTP(w, r)
		}
	})
}
