package daemon

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier speaks sd_notify(3). Without NOTIFY_SOCKET it says nothing.
type notifier struct {
	log *slog.Logger
}

func (n notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("sd_notify failed", "err", err)
	}
}

func (n notifier) ready(status string) { n.send(daemon.SdNotifyReady + "\nSTATUS=" + status) }

func (n notifier) status(status string) { n.send("STATUS=" + status) }

func (n notifier) watchdog() { n.send(daemon.SdNotifyWatchdog) }

func (n notifier) stopping() { n.send(daemon.SdNotifyStopping) }

// reloading and the ready after it follow the protocol of Type=notify-reload, which Type=notify takes as well.
func (n notifier) reloading() {
	n.send(fmt.Sprintf("%s\nMONOTONIC_USEC=%s", daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec()))
}

// watchdogPeriod gives how often systemd wants to hear from us, a third of what the unit asks; 0 when it does not ask.
func watchdogPeriod() (time.Duration, error) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0, fmt.Errorf("watchdog: %w", err)
	}
	return limit / 3, nil
}
