package docker

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// serviceKeys are the SERVICE_ settings, lower-cased, that have a meaning of their own.
var serviceKeys = []string{
	"name", "tags", "id", "ignore", "ports",
	"check_http", "check_https", "check_http_method", "check_https_method", "check_cmd", "check_script", "check_ttl",
	"check_tcp", "check_grpc", "check_grpc_use_tls", "check_interval", "check_timeout", "check_initial_status",
	"check_tls_skip_verify",
}

// known reports whether a SERVICE_ setting, lower-cased, has a meaning of its own. Only these are read from a container's
// environment, which holds passwords; all other SERVICE_ settings are meta, and are read from labels.
func known(key string) bool { return slices.Contains(serviceKeys, key) }

// free reports whether a SERVICE_ setting is meta. No check's setting is, not even a misspelt one.
func free(key string) bool { return !known(key) && !strings.HasPrefix(key, "check_") }

// The texts that a name of meta must not contain, and the words that it must not have, so that no secret is published.
var (
	secretParts = [...]string{"pass", "pwd", "secret", "token", "key", "cred", "private"}
	secretWords = [...]string{"auth", "oauth", "pw", "dsn"}
)

// secretText matches the beginning of a secret within a text: a name with its value, the credentials of HTTP, and a user
// with a password before a host.
var secretText = regexp.MustCompile(`(?i)(pass\w*|pwd|secret|token|key)["']?\s*[=:]|\b(bearer|basic)\s+\S|[^\s:@]:[^\s@/]+@`)

// secret reports whether meta may be a secret: by its name, lower-cased, or because its value is a URL with a user, holds
// a PEM block, or matches secretText.
func secret(key, value string) bool {
	if slices.ContainsFunc(secretParts[:], func(part string) bool { return strings.Contains(key, part) }) {
		return true
	}
	words := strings.FieldsFunc(key, func(r rune) bool { return r == '_' || r == '-' || r == '.' })
	if slices.ContainsFunc(words, func(word string) bool { return slices.Contains(secretWords[:], word) }) {
		return true
	}
	return hasUser(value) || strings.Contains(value, "-----BEGIN ") || secretText.MatchString(value)
}

// hasUser reports whether a text holds a URL with a user, and so perhaps a password, before its host.
func hasUser(text string) bool {
	for {
		_, after, found := strings.Cut(text, "://")
		if !found {
			return false
		}
		authority := after
		if end := strings.IndexAny(after, "/?# \t\r\n"); end >= 0 {
			authority = after[:end]
		}
		if strings.Contains(authority, "@") {
			return true
		}
		text = after
	}
}

// shown quotes a value for a message, which may be read by more people than the container's settings: a value with a user,
// and so perhaps a password, is not shown.
func shown(value string) string {
	if strings.Contains(value, "@") || secretText.MatchString(value) {
		return "what it says"
	}
	return strconv.Quote(value[:min(len(value), maxShownValue)])
}

// maxShownValue bounds the part of a value that a message shows.
const maxShownValue = 80

// serviceKey is a SERVICE_ setting taken apart.
type serviceKey struct {
	// port is the port that the setting belongs to, if ofPort is set.
	port   uint16
	ofPort bool
	// key is the rest, lower-cased.
	key string
}

// parseServiceKey reads Registrator's grammar: SERVICE_<port>_<key> is for one port, SERVICE_<key> for all. It returns
// false for a number that is no port, or is not written as one.
func parseServiceKey(label string) (serviceKey, bool) {
	key := strings.ToLower(strings.TrimPrefix(label, servicePrefix))
	first, rest, _ := strings.Cut(key, "_")
	number, err := strconv.Atoi(first)
	if err != nil || rest == "" {
		return serviceKey{key: key}, key != ""
	}
	if number < 1 || number > 65535 || strconv.Itoa(number) != first {
		return serviceKey{}, false
	}
	return serviceKey{port: uint16(number), ofPort: true, key: rest}, true
}
