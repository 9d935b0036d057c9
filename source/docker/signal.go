package docker

import (
	"strconv"
	"strings"
)

// The signals that stop a container whatever its configuration.
const (
	sigKill = 9
	sigTerm = 15
	// realTime is the first of the real-time signals, which have numbers and no names.
	realTime = 34
)

// signalNames are Linux's: containers run on Linux, whatever Koine runs on.
var signalNames = [...]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 6: "SIGABRT", sigKill: "SIGKILL", 10: "SIGUSR1", 12: "SIGUSR2",
	13: "SIGPIPE", 14: "SIGALRM", sigTerm: "SIGTERM", 28: "SIGWINCH", 30: "SIGPWR",
}

// parseSignal reads a signal in the forms that Docker accepts: "SIGQUIT", "quit", "3", "RTMIN+3". Empty is Docker's
// default, SIGTERM; it returns 0 for an unknown signal.
func parseSignal(text string) int {
	text = strings.ToUpper(strings.TrimSpace(text))
	if text == "" {
		return sigTerm
	}
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= 64 {
		return n
	}
	text = strings.TrimPrefix(text, "SIG")
	for n, name := range signalNames {
		if name != "" && name[len("SIG"):] == text {
			return n
		}
	}
	return parseRealTime(text)
}

// parseRealTime reads RTMIN, RTMIN+n, RTMAX and RTMAX-n.
func parseRealTime(text string) int {
	base := realTime
	offset, found := strings.CutPrefix(text, "RTMIN")
	if !found {
		base = 64
		if offset, found = strings.CutPrefix(text, "RTMAX"); !found {
			return 0
		}
	}
	if offset == "" {
		return base
	}
	n, err := strconv.Atoi(offset)
	if err != nil || base+n < realTime || base+n > 64 {
		return 0
	}
	return base + n
}

// signalName returns a signal's name, its number if it has none.
func signalName(n int) string {
	if n > 0 && n < len(signalNames) && signalNames[n] != "" {
		return signalNames[n]
	}
	return strconv.Itoa(n)
}

// stopping returns the signal among those sent that ends the container, or 0.
func stopping(sent uint64, stopSignal int) int {
	for _, n := range []int{stopSignal, sigTerm, sigKill} {
		if sent&stopSignals(stopSignal)&signalBit(n) != 0 {
			return n
		}
	}
	return 0
}

// stopSignals are the signals that end a container, given its stop signal.
//
// "docker stop" sends the stop signal only, but SIGTERM counts where that is another one: its sender wants the container to
// end, and the programs that ask for another end at it too, most of them faster (nginx with SIGQUIT, Apache with SIGWINCH, HAProxy
// with SIGUSR1) or once their clients have left (PostgreSQL with SIGINT). A container that survives it is answered again, see
// surviveMargin. Only a stop signal of real time changes what SIGTERM means: it is the sign of systemd as the first process, which
// takes SIGTERM as the order to execute itself again, and keeps its services running.
func stopSignals(stopSignal int) uint64 {
	set := signalBit(stopSignal) | signalBit(sigTerm) | signalBit(sigKill)
	if stopSignal >= realTime {
		set &^= signalBit(sigTerm)
	}
	return set
}

// signalBit is a signal's bit in a set of signals.
func signalBit(n int) uint64 {
	if n < 1 || n > 64 {
		return 0
	}
	return 1 << (n - 1)
}
