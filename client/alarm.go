package client

import (
	"sync"
	"time"
)

// alarmParts is the number of parts of the silence that an alarm waits for one after the other. A process that stood still has
// missed one of them: it does not take its own standstill for the server's silence.
const alarmParts = 4

// alarm goes off when a server has sent nothing for a time.
type alarm struct {
	part time.Duration
	ring func()

	mu     sync.Mutex
	timer  *time.Timer
	silent int
	// waits is set while the server is listened to.
	waits bool
}

// startAlarm starts an alarm, which rings once.
func startAlarm(silence time.Duration, ring func()) *alarm {
	a := &alarm{part: silence / alarmParts, ring: ring, waits: true}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer = time.AfterFunc(a.part, a.pass)
	return a
}

// listen begins the time again, or has it stand still.
func (a *alarm) listen(waits bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent, a.waits = 0, waits
	if waits {
		a.timer.Reset(a.part)
	} else {
		a.timer.Stop()
	}
}

// pass notes that a part of the time has passed.
func (a *alarm) pass() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.waits {
		return
	}
	if a.silent++; a.silent < alarmParts {
		a.timer.Reset(a.part)
		return
	}
	a.waits = false
	a.ring()
}
