package main

import (
	"syscall"
	"testing"
	"time"
)

func TestPassing(t *testing.T) {
	type event struct {
		sig   syscall.Signal
		after time.Duration
		want  step
	}
	stop := func(sig syscall.Signal) step { return step{takeOut: true, send: sig} }
	for _, test := range []struct {
		name    string
		hangups bool
		events  []event
	}{
		{"each as it is", true, []event{
			{syscall.SIGINT, 0, stop(syscall.SIGINT)}, {syscall.SIGTERM, 0, stop(syscall.SIGTERM)},
			{syscall.SIGQUIT, 0, stop(syscall.SIGQUIT)}, {syscall.SIGHUP, 0, stop(syscall.SIGHUP)},
		}},
		{"a second Ctrl-C kills", true, []event{
			{syscall.SIGINT, 0, stop(syscall.SIGINT)}, {syscall.SIGINT, 2 * time.Millisecond, step{}},
			{syscall.SIGINT, time.Second, step{send: syscall.SIGKILL}},
		}},
		{"other signals kill only by themselves", true, []event{
			{syscall.SIGTERM, 0, stop(syscall.SIGTERM)}, {syscall.SIGTERM, 2 * time.Millisecond, step{}},
			{syscall.SIGTERM, 2 * time.Second, stop(syscall.SIGTERM)}, {syscall.SIGINT, 2 * time.Second, stop(syscall.SIGINT)},
		}},
		{"a hangup without a terminal is a reload", false, []event{{syscall.SIGHUP, 0, step{send: syscall.SIGHUP}}}},
		{"what does not stop the command is passed on at once", true, []event{
			{syscall.SIGUSR1, 0, step{send: syscall.SIGUSR1}}, {syscall.SIGUSR1, 0, step{send: syscall.SIGUSR1}},
			{syscall.SIGWINCH, 0, step{send: syscall.SIGWINCH}}, {syscall.SIGCONT, 0, step{send: syscall.SIGCONT}},
		}},
		{"Ctrl-Z", true, []event{{syscall.SIGTSTP, 0, step{suspend: true}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := passing{hangups: test.hangups}
			start := time.Now()
			for _, e := range test.events {
				if got := p.on(e.sig, start.Add(e.after)); got != e.want {
					t.Errorf("%v after %v: %+v, want %+v", e.sig, e.after, got, e.want)
				}
			}
		})
	}
}
