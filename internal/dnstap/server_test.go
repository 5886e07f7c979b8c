package dnstap_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	framestream "github.com/farsightsec/golang-framestream"
	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/protobuf/encoding/protowire"

	"flowsensor/internal/dnsmsg"
	"flowsensor/internal/dnstap"
	"flowsensor/internal/flow"
	"flowsensor/internal/testgate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const contentType = "protobuf:dnstap.Dnstap"

// listening is a server at work.
type listening struct {
	*dnstap.Server

	mu   sync.Mutex
	got  []flow.DNSAnswer
	stop func()
}

func listen(t *testing.T, text string) *listening {
	t.Helper()
	s, err := dnstap.Listen(text, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l := &listening{Server: s}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l.take) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(l.stop)
	return l
}

func (l *listening) take(a *flow.DNSAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, *a)
}

func (l *listening) answers() []flow.DNSAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no ", what)
		}
	}
}

// response is a DNS message with one address.
func response(tb testing.TB, question string) []byte {
	tb.Helper()
	name := dnsmessage.MustNewName(question)
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{Response: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
		Answers: []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 60}, Body: &dnsmessage.AResource{A: [4]byte{198, 51, 100, 1}},
		}},
	}
	b, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// tap is a dnstap message of a type, with addresses of these octets.
func tap(kind uint64, client, server, response []byte) []byte {
	m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), kind)
	m = protowire.AppendBytes(protowire.AppendTag(m, 4, protowire.BytesType), client)
	if server != nil {
		m = protowire.AppendBytes(protowire.AppendTag(m, 5, protowire.BytesType), server)
	}
	m = protowire.AppendVarint(protowire.AppendTag(m, 12, protowire.VarintType), 1_700_000_000)
	m = protowire.AppendFixed32(protowire.AppendTag(m, 13, protowire.Fixed32Type), 5)
	m = protowire.AppendBytes(protowire.AppendTag(m, 14, protowire.BytesType), response)
	d := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte("resolver"))
	d = protowire.AppendBytes(protowire.AppendTag(d, 14, protowire.BytesType), m)
	return protowire.AppendVarint(protowire.AppendTag(d, 15, protowire.VarintType), 1)
}

var client4, server4 = []byte{192, 0, 2, 1}, []byte{192, 0, 2, 53}

func dial(t *testing.T, l *listening) net.Conn {
	t.Helper()
	conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func writer(t *testing.T, l *listening) *framestream.Encoder {
	t.Helper()
	e, err := framestream.NewEncoder(dial(t, l), &framestream.EncoderOptions{ContentType: []byte(contentType), Bidirectional: true})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestAnswersOverBothSockets sends what a server would, beside everything that is not wanted.
func TestAnswersOverBothSockets(t *testing.T) {
	for _, text := range []string{"unix:" + filepath.Join(t.TempDir(), "dnstap.sock"), "tcp:127.0.0.1:0", "tcp:[::1]:0"} {
		l := listen(t, text)
		e := writer(t, l)
		good := response(t, "WWW.example.org.")
		six := net.ParseIP("2001:db8::1").To16()
		for _, frame := range [][]byte{
			tap(6, client4, server4, good),
			tap(6, six, nil, good),
			tap(5, client4, server4, good), // CLIENT_QUERY
			tap(4, client4, server4, good), // RESOLVER_RESPONSE
			tap(6, nil, nil, good), tap(6, client4, six, good), tap(6, client4, server4, nil), tap(6, client4[:3], nil, good),
			tap(6, client4, server4, good[:20]),
			[]byte("no protobuf"), make([]byte, 200<<10),
			{120, 1},
		} {
			if _, err := e.Write(frame); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil { // waits for FINISH: all was read then
			t.Fatal(err)
		}
		want := flow.DNSAnswer{
			Client: flow.AddrFrom4(client4), Server: flow.AddrFrom4(server4), Version: 4, Time: 1_700_000_000_000_000_005, QType: 1,
			Question: "www.example.org", Addresses: []flow.DNSAddress{{Addr: flow.Addr{Lo: 0xc6336401}, Version: 4, TTL: 60}},
		}
		want6 := want
		want6.Client, want6.Server, want6.Version = flow.AddrFrom16(six), flow.Addr{}, 6
		if got := l.answers(); !reflect.DeepEqual(got, []flow.DNSAnswer{want, want6}) {
			t.Errorf("%s: got %+v", text, got)
		}
		l.stop()
		st := l.Stats()
		refused := map[dnstap.Reason]uint64{dnstap.OtherType: 3, dnstap.Incomplete: 4, dnstap.Malformed: 1, dnstap.TooLong: 1}
		for r, n := range st.Refused {
			if n != refused[dnstap.Reason(r)] {
				t.Errorf("%s: %s %d, want %d", text, dnstap.Reason(r), n, refused[dnstap.Reason(r)])
			}
		}
		if st.Messages.Messages[dnsmsg.OK] != 2 || st.Messages.Messages[dnsmsg.Malformed] != 1 || st.Frames != 11 || st.Accepted != 1 || st.Connections != 0 {
			t.Errorf("%s: %+v", text, st)
		}
	}
}

// TestHostileConnections: what is no Frame Streams is refused, silence costs a bounded number of connections, and the end comes all the same.
func TestHostileConnections(t *testing.T) {
	l := listen(t, "tcp:127.0.0.1:0")
	for name, begin := range map[string]string{
		"HTTP":          "GET / HTTP/1.1\r\n\r\n",
		"long control":  "\x00\x00\x00\x00\xff\xff\xff\xff",
		"short control": "\x00\x00\x00\x00\x00\x00\x00\x01\x00",
		"other content": "\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x04text",
	} {
		before := l.Stats().Refused[dnstap.Handshake]
		if _, err := dial(t, l).Write([]byte(begin)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "refusal of "+name, func() bool { return l.Stats().Refused[dnstap.Handshake] > before })
	}
	cut := dial(t, l)
	if _, err := framestream.NewWriter(cut, &framestream.WriterOptions{ContentTypes: [][]byte{[]byte(contentType)}, Bidirectional: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := cut.Write(append(binary.BigEndian.AppendUint32(nil, 1000), "half"...)); err != nil {
		t.Fatal(err)
	}
	_ = cut.Close()
	eventually(t, "broken connection", func() bool { return l.Stats().Refused[dnstap.Broken] == 1 })
	for range 80 {
		dial(t, l)
	}
	eventually(t, "refusal of too many", func() bool { return l.Stats().Refused[dnstap.Busy] == 80-64 })
	if n := l.Stats().Connections; n != 64 {
		t.Errorf("%d connections", n)
	}
	l.stop()
	if n := l.Stats().Connections; n != 0 {
		t.Errorf("%d connections after the end", n)
	}
}

// A socket that a killed process left is replaced, one in use and a file are not.
func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dnstap.sock")
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = left.Close()
	listen(t, "unix:"+path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
	if s, err := dnstap.Listen("unix:"+path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "somebody listens") {
		t.Errorf("a socket in use was taken: %v, %v", s, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dnstap.Listen("unix:"+file, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file was taken for a socket")
	}
	if kept, _ := os.ReadFile(file); string(kept) != "kept" {
		t.Error("the file is gone")
	}
}

func TestParseListen(t *testing.T) {
	for text, ok := range map[string]bool{
		"unix:/run/x.sock": true, "tcp:127.0.0.1:6000": true, "tcp:[::1]:6000": true, "tcp::6000": true,
		"": false, "unix:x.sock": false, "tcp:127.0.0.1": false, "udp:127.0.0.1:6000": false, "tcp:127.0.0.1:70000": false, "tcp:127.0.0.1:dns": false, "/run/x.sock": false,
	} {
		if _, _, err := dnstap.ParseListen(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestForeignWriter lets the C library of Frame Streams send what BIND and Unbound once wrote.
func TestForeignWriter(t *testing.T) {
	program, err := exec.LookPath("fstrm_replay")
	if err != nil {
		testgate.Skip(t, "fstrm_replay is not installed (apt-get install fstrm-bin): ", err)
	}
	const folder = "../../../shared/pcaps/dns/"
	for file, least := range map[string]int{
		"dnstap/bind9-large-answer.fstrm": 0, "dnstap/pktvisor-fixture.dnstap": 1, "dnstap/bind9-dnstap.saved.fstrm": 1, "dnscollector-dnstap.fstrm": 0,
	} {
		if _, err := os.Stat(folder + file); err != nil {
			t.Skip("the folder of captures is not on this machine: ", err)
		}
		path := filepath.Join(t.TempDir(), "s")
		l := listen(t, "unix:"+path)
		if out, err := exec.Command(program, "-t", contentType, "-r", folder+file, "-u", path).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", file, err, out)
		}
		eventually(t, "end of the connection", func() bool { st := l.Stats(); return st.Accepted == 1 && st.Connections == 0 })
		got := l.answers()
		for i := range got {
			if err := got[i].Validate(); err != nil {
				t.Errorf("%s: %v: %+v", file, err, got[i])
			}
		}
		st := l.Stats()
		if len(got) < least || st.Frames == 0 || st.Refused[dnstap.Malformed]+st.Refused[dnstap.Handshake]+st.Refused[dnstap.Broken] > 0 {
			t.Errorf("%s: %d answers, %+v", file, len(got), st)
		}
		t.Logf("%s: %d frames, %d answers, refused %v, messages %v", file, st.Frames, len(got), st.Refused, st.Messages.Messages)
	}
}
