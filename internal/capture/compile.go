package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/bpf"

	"flowsensor/internal/frame"
)

// Bounds of a filter expression's compilation.
const (
	compileTimeout = 10 * time.Second
	maxExpression  = 16 << 10
	maxAnswer      = 1 << 20 // octets of tcpdump's answer
	maxComplaint   = 400     // of what it complains of
)

// ErrNoCompiler says that tcpdump, which compiles filter expressions, is not installed.
var ErrNoCompiler = errors.New("a filter needs the tcpdump program: apt install tcpdump, or dnf install tcpdump")

// Filter expressions are pcap-filter(7), compiled by the system's tcpdump: what it means is what tcpdump would show. The
// expression is one argument behind "--": no shell and no option can come of it.

// compileLive compiles for frames that the kernel hands over, which have lost their outermost VLAN tag: only for an
// interface does libpcap write "vlan" as a look at the stripped tag. Links without Ethernet have no tag to strip, and
// libpcap might open them in cooked mode, with other offsets than ours: for them it is compiled as for a file.
func compileLive(ctx context.Context, device string, link frame.LinkType, expr string) ([]bpf.RawInstruction, error) {
	if link != frame.Ethernet {
		return compileFile(ctx, link, expr)
	}
	// -p: looking at the interface must not make it promiscuous.
	return runCompiler(ctx, nil, expr, "-p", "-i", device, "-ddd")
}

// compileFile compiles for frames of a file, whose tags are in the bytes. It asks for the link type by a capture file of
// no packets on standard input: "-y" takes not every name, needs an interface in older versions and refuses types that
// this interface does not have.
func compileFile(ctx context.Context, link frame.LinkType, expr string) ([]bpf.RawInstruction, error) {
	return runCompiler(ctx, pcapHeader(link), expr, "-r", "-", "-ddd")
}

// pcapHeader is an empty capture file (draft-ietf-opsawg-pcap).
func pcapHeader(link frame.LinkType) []byte {
	h := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	h = binary.LittleEndian.AppendUint16(h, 2)
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = append(h, make([]byte, 8)...)
	h = binary.LittleEndian.AppendUint32(h, maxSnapLength)
	if link == frame.RawOpen || link == frame.RawBSD {
		link = frame.Raw // the numbers of other systems, not all of which libpcap takes here
	}
	return binary.LittleEndian.AppendUint32(h, uint32(link))
}

func runCompiler(ctx context.Context, stdin []byte, expr string, args ...string) ([]bpf.RawInstruction, error) {
	if len(expr) > maxExpression || strings.ContainsRune(expr, 0) {
		return nil, fmt.Errorf("filter: longer than %d octets or not text", maxExpression)
	}
	path, err := findCompiler(compilers()...)
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", expr, err)
	}
	ctx, cancel := context.WithTimeout(ctx, compileTimeout)
	defer cancel()
	out, words := capped{limit: maxAnswer}, capped{limit: maxAnswer}
	cmd := exec.CommandContext(ctx, path, append(args, "--", expr)...)
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &words
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctxErr := ctx.Err(); ctxErr != nil {
			err = ctxErr
		}
		return nil, fmt.Errorf("filter %q: tcpdump: %w: %s", expr, err, lastWords(words.text))
	}
	prog, err := parseProgram(out.text)
	if err != nil {
		return nil, fmt.Errorf("filter %q: tcpdump's program: %w", expr, err)
	}
	return prog, nil
}

// compilers are where tcpdump may be besides in PATH: some systems have it in /usr/sbin, which a PATH may lack.
func compilers() []string { return []string{"/usr/sbin/tcpdump", "/usr/bin/tcpdump"} }

// findCompiler gives tcpdump's path: the one in PATH, or else the first of elsewhere.
func findCompiler(elsewhere ...string) (string, error) {
	for _, name := range append([]string{"tcpdump"}, elsewhere...) {
		path, err := exec.LookPath(name)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%w (%w)", ErrNoCompiler, err)
		}
	}
	return "", ErrNoCompiler
}

// lastWords gives what tcpdump complains of: its last line, without its name.
func lastWords(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	last := strings.TrimPrefix(lines[len(lines)-1], "tcpdump: ")
	return last[:min(len(last), maxComplaint)]
}

// capped keeps the first octets of what is written to it.
type capped struct {
	text  []byte
	limit int
}

func (c *capped) Write(b []byte) (int, error) {
	c.text = append(c.text, b[:min(len(b), c.limit-len(c.text))]...)
	return len(b), nil
}

// parseProgram reads what "tcpdump -ddd" prints: the number of instructions, then one a line as code, jt, jf and k.
func parseProgram(text []byte) ([]bpf.RawInstruction, error) {
	fields := strings.Fields(string(text))
	if len(fields) == 0 || len(text) >= maxAnswer {
		return nil, errors.New("empty or overlong")
	}
	count, err := strconv.ParseUint(fields[0], 10, 16)
	fields = fields[1:]
	if err != nil || count == 0 || count > maxInstructions || len(fields) != int(count)*4 {
		return nil, fmt.Errorf("%d numbers where %d instructions are announced", len(fields), count)
	}
	prog := make([]bpf.RawInstruction, count)
	for i := range prog {
		var n [4]uint64
		for j, size := range [4]int{16, 8, 8, 32} {
			if n[j], err = strconv.ParseUint(fields[i*4+j], 10, size); err != nil {
				return nil, fmt.Errorf("instruction %d: %w", i, err)
			}
		}
		prog[i] = bpf.RawInstruction{Op: uint16(n[0]), Jt: uint8(n[1]), Jf: uint8(n[2]), K: uint32(n[3])}
	}
	return prog, nil
}
