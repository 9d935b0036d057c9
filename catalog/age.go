package catalog

import "time"

// MaxSilence is how long the store may say nothing before what the View answers counts as old.
const MaxSilence = 3 * time.Second

// Touch notes that the View was in touch with the store at a time.
func (v *View) Touch(now time.Time) { v.contact.Store(now.UnixNano()) }

// Age returns for how long the View has not been in touch with the store. It is 0 while that is less than MaxSilence:
// what is answered then is as fresh as it gets.
func (v *View) Age(now time.Time) time.Duration {
	contact := v.contact.Load()
	if contact == 0 {
		return 0
	}
	if age := now.Sub(time.Unix(0, contact)); age >= MaxSilence {
		return age
	}
	return 0
}
