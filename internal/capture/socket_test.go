package capture

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Where the kernel does not choose a group id, ids that others have are passed over.
func TestFanoutIDWithoutTheKernelsHelp(t *testing.T) {
	for name, c := range map[string]struct {
		taken int // the first ids are of groups of another mode or interface
		err   error
		want  error
		tries int
	}{
		"the first is free": {0, unix.EINVAL, nil, 2},
		"five are taken":    {5, unix.EINVAL, nil, 7},
		"all are taken":     {1000, unix.EINVAL, unix.EINVAL, fanoutTries + 1},
		"another error":     {1000, unix.EPERM, unix.EPERM, 1},
	} {
		tried := map[string]bool{}
		join := func(_, typeFlags int, id uint16) error {
			tried[fmt.Sprint(typeFlags, id)] = true
			if typeFlags != unix.PACKET_FANOUT_CPU || len(tried)-1 <= c.taken {
				return c.err
			}
			return nil
		}
		_, err := firstMember(-1, FanoutCPU, join, 4711)
		if !errors.Is(err, c.want) || len(tried) != c.tries {
			t.Errorf("%s: %v after %d tries of different ids, want %d", name, err, len(tried), c.tries)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	err := explain(fmt.Errorf("socket: %w", unix.EPERM))
	for _, want := range []string{"CAP_NET_RAW", "systemd unit", "setcap cap_net_raw+ep /"} {
		if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := explain(unix.ENOMEM); !strings.Contains(err.Error(), "ring_size") {
		t.Errorf("%v", err)
	}
	if err := explain(unix.ENODEV); !errors.Is(err, unix.ENODEV) || err.Error() != unix.ENODEV.Error() {
		t.Errorf("%v", err)
	}
}

func TestSetFilterRefusesAnEmptyProgram(t *testing.T) {
	if err := setFilter(-1, nil); err == nil {
		t.Error("no program is a program")
	}
}
