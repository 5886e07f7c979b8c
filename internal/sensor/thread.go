package sensor

import "os"

// nameThread names the calling thread for ps and top, which show 15 octets of it. The goroutine must be locked to it. Where /proc
// is not to be had the thread goes unnamed: nothing depends on it.
func nameThread(name string) {
	_ = os.WriteFile("/proc/thread-self/comm", []byte(name), 0)
}
