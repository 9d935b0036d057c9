package catalog

import "time"

// MaxSilence bounds the store's silence: after it, the View's answers count as old.
const MaxSilence = 3 * time.Second

// Touch records that the View was in touch with the store at a time. A change of the wall clock makes no answer old.
func (v *View) Touch(now time.Time) { v.contact.Store(int64(now.Sub(v.made)) + 1) }

// Age returns the time since the View was last in touch with the store, or 0 if that is less than MaxSilence: such
// answers count as current.
func (v *View) Age(now time.Time) time.Duration {
	contact := v.contact.Load()
	if contact == 0 {
		return 0
	}
	if age := now.Sub(v.made) - time.Duration(contact-1); age >= MaxSilence {
		return age
	}
	return 0
}
