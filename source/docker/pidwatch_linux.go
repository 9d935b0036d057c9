package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// poller waits for process descriptors (pidfd_open(2)) to become readable, which they do when the process ends.
type poller struct {
	epoll, wake int
	opened      bool
}

func (p *poller) usable() bool { return p.opened }

func (p *poller) open() (err error) {
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll_create: %w", err)
	}
	if p.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return errors.Join(fmt.Errorf("eventfd: %w", err), unix.Close(p.epoll))
	}
	if err = p.register(p.wake); err != nil {
		return errors.Join(err, unix.Close(p.epoll), unix.Close(p.wake))
	}
	p.opened = true
	return nil
}

func (p *poller) register(fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

var errForeign = errors.New("the process is not the container's")

// watch begins to watch a process. The process's cgroup, read after the descriptor was opened, proves that it is the
// container's: this detects a process id that was reused, or belongs to another namespace.
func (p *poller) watch(id string, pid int) (fd int, err error) {
	fd, err = unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, fmt.Errorf("pidfd_open: %w", err)
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err == nil && !bytes.Contains(groups, []byte(id)) {
		err = errForeign
	}
	if err == nil {
		err = p.register(fd)
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// readable reports whether a descriptor's process has ended.
func (p *poller) readable(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n == 1
}

// forget closes a descriptor, which takes it out of the poll.
func (p *poller) forget(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}

// run passes on the ends of processes until ctx ends, and closes everything then.
func (w *pidWatch) run(ctx context.Context) {
	if !w.poller.usable() {
		return
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(w.poller.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-woken
		}
		w.close()
	}()
	events := make([]unix.EpollEvent, 64)
	for ctx.Err() == nil {
		n, err := unix.EpollWait(w.poller.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		var fds []int32
		for _, event := range events[:max(n, 0)] {
			fds = append(fds, event.Fd)
		}
		for _, e := range w.ended(fds) {
			select {
			case w.exits <- e:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (w *pidWatch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, old := range w.watched {
		w.drop(id, old)
	}
	w.poller.opened = false
	_ = unix.Close(w.poller.epoll)
	_ = unix.Close(w.poller.wake)
}
