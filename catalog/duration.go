package catalog

import (
	"fmt"
	"time"
)

// Duration is a time.Duration whose text form is Go's: "10s", "1m30s".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration: write it as 10s, 1m30s or 2h", text)
	}
	*d = Duration(parsed)
	return nil
}

// String returns the duration in Go's form.
func (d Duration) String() string { return time.Duration(d).String() }

// IsZero reports whether d is 0, so that encoders can leave it out.
func (d Duration) IsZero() bool { return d == 0 }

// Or returns d, or fallback if d is 0.
func (d Duration) Or(fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return time.Duration(d)
}
