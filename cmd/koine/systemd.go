package main

import (
	"log/slog"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// tellSystemd reports the process's state to systemd, if systemd has started it and waits for that (Type=notify, see
// sd_notify(3)).
func tellSystemd(logger *slog.Logger, state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		logger.Warn("systemd cannot be notified", "state", state, "error", err)
	}
}
