package client

import (
	"strings"
	"testing"
)

// TestErrorsDoNotShowThePassword has addresses with a password: some that no server answers, and some that are invalid.
func TestErrorsDoNotShowThePassword(t *testing.T) {
	for _, address := range []string{
		"https://deploy:s3cret@127.0.0.1:1", "http://deploy:s3cret@127.0.0.1:1/below", "deploy:s3cret@127.0.0.1:1",
		"https://deploy:s3cret@127.0.0.1:1/?query", "https://deploy:s3cret@/", "https://deploy:s3@cr:et%zz/s3cret@h", "ftp://deploy:s3cret@h",
	} {
		c, err := New(Config{Address: address})
		if err == nil {
			_, err = c.Health(t.Context())
		}
		if err == nil || strings.Contains(err.Error(), "s3c") || strings.Contains(err.Error(), "cr:et") || !strings.Contains(err.Error(), "deploy:") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
