package tap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
	"golang.org/x/sys/unix"
)

// variants are the ways to drive a TAP on Linux.
var variants = []struct {
	name string
	cfg  tap.Config
}{
	{"linux", tap.Config{Backend: tap.Linux}},
	{"linux without offload", tap.Config{Backend: tap.Linux, NoOffload: true}},
	{"water", tap.Config{Backend: tap.Water}},
}

// eachVariant runs a test for each variant, in a namespace of its own whose
// kernel sends nothing by itself.
func eachVariant(t *testing.T, f func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config)) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) { f(t, quietNamespace(t), v.cfg) })
	}
}

func quietNamespace(t testing.TB) *netnstest.Namespace {
	t.Helper()
	netnstest.Require(t)
	ns := netnstest.New(t)
	ns.Run(t, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
	return ns
}

// open opens a device inside ns.
func open(t testing.TB, ns *netnstest.Namespace, cfg tap.Config) (d *tap.Device, err error) {
	t.Helper()
	ns.Do(t, func() { d, err = tap.Open(cfg) })
	if err == nil {
		t.Cleanup(func() { d.Close() })
	}
	return d, err
}

// openUp opens tap0 inside ns and brings it up.
func openUp(t testing.TB, ns *netnstest.Namespace, cfg tap.Config) *tap.Device {
	t.Helper()
	cfg.Name = "tap0"
	d, err := open(t, ns, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetUp(); err != nil {
		t.Fatal(err)
	}
	return d
}

// exists reports whether ns has an interface of this name.
func exists(t testing.TB, ns *netnstest.Namespace, name string) (ok bool) {
	t.Helper()
	ns.Do(t, func() {
		_, err := net.InterfaceByName(name)
		ok = err == nil
	})
	return ok
}

// kernelEnd is a packet socket on the kernel's end of a TAP.
type kernelEnd struct {
	t    testing.TB
	fd   int
	vnet bool
}

// kernelSide opens a packet socket for frames of one Ethernet type. With vnet
// frames carry a virtio-net header there too.
func kernelSide(t testing.TB, ns *netnstest.Namespace, name string, etherType uint16, vnet bool) *kernelEnd {
	t.Helper()
	k := &kernelEnd{t: t, vnet: vnet}
	ns.Do(t, func() {
		i, err := net.InterfaceByName(name)
		if err != nil {
			t.Fatal(err)
		}
		protocol := etherType<<8 | etherType>>8
		if k.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(k.fd) })
		if vnet {
			if err := unix.SetsockoptInt(k.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
				t.Fatal(err)
			}
		}
		// A test that waits in vain is to fail and not to hang.
		if err := unix.SetsockoptTimeval(k.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
			t.Fatal(err)
		}
		if err := unix.Bind(k.fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: i.Index}); err != nil {
			t.Fatal(err)
		}
	})
	return k
}

func (k *kernelEnd) send(b []byte) {
	k.t.Helper()
	if _, err := unix.Write(k.fd, b); err != nil {
		k.t.Fatalf("the kernel refuses to send: %v", err)
	}
}

func (k *kernelEnd) receive() []byte {
	k.t.Helper()
	b := make([]byte, 1<<17)
	n, err := unix.Read(k.fd, b)
	if err != nil {
		k.t.Fatalf("nothing arrives at the kernel's end: %v", err)
	}
	return b[:n]
}

// within ends the tests, with all goroutines' stacks, instead of having f hang.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	defer time.AfterFunc(10*time.Second, func() {
		panic(t.Name() + ": " + what + " takes more than 10 s")
	}).Stop()
	f()
}

func TestDevice_CarriesFrames(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		k := kernelSide(t, ns, "tap0", testEtherType, false)
		out := frame(nd.BroadcastLinkAddr, d.LinkAddr(), "from us, in pieces, and longer than the shortest frame")
		pieces := [][]byte{out[:1], {}, out[1:14], out[14:20], out[20:]}
		if n, err := d.Write([]stack.Frame{{Data: pieces}, {Data: [][]byte{out}}}); n != 2 || err != nil {
			t.Fatalf("Write = %d, %v, want 2, nil", n, err)
		}
		for range 2 {
			if got := k.receive(); !bytes.Equal(got, out) {
				t.Errorf("the kernel got %x, want %x", got, out)
			}
		}
		for i := range uint32(3) {
			k.send(numbered(d.LinkAddr(), addrA, i))
		}
		read := uint32(0)
		for read < 3 {
			r := room(2, 0)
			for i := range r {
				r[i].Data = [][]byte{make([]byte, 10), {}, make([]byte, 5), make([]byte, 100)}
			}
			n, err := d.Read(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r[:n] {
				got := bytes.Join(f.Data, nil)[:f.Len]
				if want := numbered(d.LinkAddr(), addrA, read); !bytes.Equal(got, want) {
					t.Errorf("frame %d = %x, want %x", read, got, want)
				}
				if f.Offload != (stack.FrameOffload{}) {
					t.Errorf("frame %d: offload %+v, want none", read, f.Offload)
				}
				read++
			}
		}
	})
}

// More pieces than package unix takes without allocating.
func TestDevice_ManyPieces(t *testing.T) {
	d := openUp(t, quietNamespace(t), tap.Config{})
	out := frame(nd.BroadcastLinkAddr, d.LinkAddr(), strings.Repeat("x", 500))
	var pieces [][]byte
	for i := range out {
		pieces = append(pieces, out[i:i+1])
	}
	if n, err := d.Write([]stack.Frame{{Data: pieces}}); n != 1 || err != nil {
		t.Errorf("Write in %d pieces = %d, %v", len(pieces), n, err)
	}
}

func TestDevice_ReadFillsABatch(t *testing.T) {
	ns := quietNamespace(t)
	d := openUp(t, ns, tap.Config{})
	k := kernelSide(t, ns, "tap0", testEtherType, false)
	for i := range uint32(5) {
		k.send(numbered(d.LinkAddr(), addrA, i))
	}
	for _, want := range []int{3, 2} {
		if n, err := d.Read(room(3, 100)); n != want || err != nil {
			t.Errorf("Read = %d, %v, want %d, nil", n, err, want)
		}
	}
}

func TestDevice_DropsAndCountsAFrameLongerThanItsRoom(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		k := kernelSide(t, ns, "tap0", testEtherType, false)
		k.send(frame(d.LinkAddr(), addrA, "one octet too long"))
		want := frame(d.LinkAddr(), addrA, "no octet too long")
		k.send(want)
		r := room(1, len(want))
		if n, err := d.Read(r); n != 1 || err != nil {
			t.Fatalf("Read = %d, %v, want 1, nil", n, err)
		}
		if got := r[0].Data[0][:r[0].Len]; !bytes.Equal(got, want) {
			t.Errorf("frame = %q, want %q", got, want)
		}
		if got := d.InDiscards(); got != 1 {
			t.Errorf("InDiscards = %d, want 1", got)
		}
	})
}

func TestDevice_CloseUnblocksRead(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		result := make(chan error, 1)
		startBlockedRead(t, ns, d, result)
		within(t, "Close", func() {
			if err := d.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if err := <-result; err != net.ErrClosed {
				t.Errorf("Read that Close unblocked: %v, want net.ErrClosed", err)
			}
		})
		if err := d.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if _, err := d.Read(room(1, 100)); err != net.ErrClosed {
			t.Errorf("Read after Close: %v, want net.ErrClosed", err)
		}
		f := []stack.Frame{{Data: [][]byte{frame(addrB, addrA, "")}}}
		if n, err := d.Write(f); n != 0 || err != net.ErrClosed {
			t.Errorf("Write after Close: %d, %v, want 0, net.ErrClosed", n, err)
		}
		if err := d.SetUp(); err != net.ErrClosed {
			t.Errorf("SetUp after Close: %v, want net.ErrClosed", err)
		}
		if !d.Drained() {
			t.Error("Drained after Close = false")
		}
	})
}

// startBlockedRead has a goroutine read one frame and then wait for another,
// and returns when it waits. result gets the error of the second Read.
func startBlockedRead(t *testing.T, ns *netnstest.Namespace, d *tap.Device, result chan<- error) {
	t.Helper()
	kernelSide(t, ns, "tap0", testEtherType, false).send(frame(d.LinkAddr(), addrA, "first"))
	first := make(chan struct{})
	go func() {
		r := room(1, 100)
		if n, err := d.Read(r); n != 1 || err != nil {
			t.Errorf("Read = %d, %v, want 1, nil", n, err)
		}
		close(first)
		_, err := d.Read(r)
		result <- err
	}()
	<-first
	within(t, "a second Read that finds nothing", func() {
		for !d.Drained() {
			runtime.Gosched()
		}
	})
}

// Drained, step by step: see its contract at stack.Link.
func TestDevice_Drained(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		k := kernelSide(t, ns, "tap0", testEtherType, false)
		want := func(step string, want bool) {
			t.Helper()
			if got := d.Drained(); got != want {
				t.Errorf("%s: Drained = %v, want %v", step, got, want)
			}
		}
		want("nothing ever arrived", true)
		k.send(numbered(d.LinkAddr(), addrA, 1))
		k.send(numbered(d.LinkAddr(), addrA, 2))
		want("two wait", false)
		receive(t, d)
		want("one was read, one waits", false)
		receive(t, d)
		want("both were read, the reader is still at work", false)
		result := make(chan error, 1)
		startBlockedRead(t, ns, d, result)
		want("the reader waits for more", true)
		k.send(numbered(d.LinkAddr(), addrA, 3))
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		want("the reader has the third", false)
	})
}

// A batch that ends because nothing is left does not say that the reader is
// done with it.
func TestDevice_DrainedAfterABatch(t *testing.T) {
	ns := quietNamespace(t)
	d := openUp(t, ns, tap.Config{})
	k := kernelSide(t, ns, "tap0", testEtherType, false)
	k.send(numbered(d.LinkAddr(), addrA, 1))
	if n, err := d.Read(room(8, 100)); n != 1 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	if d.Drained() {
		t.Error("Drained while the reader is at work on a batch")
	}
}

// Many frames, and a watcher that asks Drained before it looks how far
// the reader is: true must never be said of a frame that is not done with.
func TestDevice_DrainedNeverLies(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		const frames = 300
		d := openUp(t, ns, cfg)
		k := kernelSide(t, ns, "tap0", testEtherType, false)
		var mu sync.Mutex
		done := 0
		go func() {
			r := room(8, 100)
			for {
				n, err := d.Read(r)
				if err != nil {
					return
				}
				runtime.Gosched()
				mu.Lock()
				done += n
				mu.Unlock()
			}
		}()
		for sent := 1; sent <= frames; sent++ {
			k.send(numbered(d.LinkAddr(), addrA, uint32(sent)))
			if sent%3 != 0 {
				continue
			}
			within(t, "Drained", func() {
				for !d.Drained() {
					runtime.Gosched()
				}
			})
			mu.Lock()
			got := done
			mu.Unlock()
			if got != sent {
				t.Fatalf("Drained with %d of %d frames done with", got, sent)
			}
		}
	})
}

func TestDevice_WriteWhileTheKernelsEndIsDown(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		ns.Run(t, "ip", "link", "set", "tap0", "down")
		f := []stack.Frame{{Data: [][]byte{frame(addrB, addrA, "")}}}
		n, err := d.Write(f)
		if n != 0 || !errors.Is(err, unix.ENETDOWN) || !strings.Contains(err.Error(), "ip link set tap0 up") {
			t.Errorf("Write = %d, %v, want ENETDOWN and what to do", n, err)
		}
		if err := d.SetUp(); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Write(f); n != 1 || err != nil {
			t.Errorf("Write = %d, %v, want 1, nil", n, err)
		}
	})
}

func TestDevice_WriteOfSomeFrames(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		good := stack.Frame{Data: [][]byte{frame(addrB, addrA, "")}}
		for _, bad := range []stack.Frame{{Data: [][]byte{make([]byte, 13)}}, {}} {
			n, err := d.Write([]stack.Frame{good, good, bad, good})
			if n != 2 || err == nil {
				t.Errorf("Write with a bad third frame = %d, %v, want 2 and an error", n, err)
			}
		}
	})
}

func TestDevice_ReadAfterTheInterfaceWasDeleted(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		result := make(chan error, 1)
		startBlockedRead(t, ns, d, result)
		ns.Run(t, "ip", "link", "del", "tap0")
		within(t, "Read of a deleted interface", func() {
			if err := <-result; !errors.Is(err, unix.EBADFD) || !strings.Contains(err.Error(), "tap0: the interface was deleted") {
				t.Errorf("Read: %v, want that the interface was deleted", err)
			}
		})
	})
}

func TestOpen_CreatedTAPVanishesAtClose(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		if !exists(t, ns, "tap0") {
			t.Fatal("Open made no tap0")
		}
		d.Close()
		if exists(t, ns, "tap0") {
			t.Error("tap0 outlives its device")
		}
	})
}

func TestOpen_LastingTAPSurvivesClose(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		ns.Run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
		for range 2 {
			d := openUp(t, ns, cfg)
			if !strings.Contains(ns.Run(t, "ip", "-d", "link", "show", "tap0"), "persist on") {
				t.Error("tap0 is transient while it is open")
			}
			d.Close()
			if !exists(t, ns, "tap0") {
				t.Fatal("Close deleted somebody else's TAP")
			}
		}
	})
}

func TestOpen_NameOfTheKernelsChoice(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d, err := open(t, ns, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if d.Name() != "tap0" || d.LinkAddr() != tap.LinkAddrFor("tap0") {
			t.Errorf("name %q, address %v, want tap0 and its address", d.Name(), d.LinkAddr())
		}
		if got := exists(t, ns, d.Name()); !got {
			t.Errorf("there is no interface %q", d.Name())
		}
	})
}

func TestOpen_SecondOpener(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		openUp(t, ns, cfg)
		cfg.Name = "tap0"
		_, err := open(t, ns, cfg)
		if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "open TAP tap0: device or resource busy: another process is attached to it") {
			t.Errorf("second Open: %v, want EBUSY with a clear text", err)
		}
	})
}

func TestOpen_MTU(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		tests := []struct{ kernels, asked, want int }{
			{1500, 0, 1500},
			{9000, 0, 9000},
			{1500, 1500, 1500},
			{1500, 1280, 1280},
			{1500, 65521, 65521},
			{576, 1280, 1280},
			{576, 0, -1},
			{1500, 1279, -1},
			{1500, 65522, -1},
			{1500, -1, -1},
		}
		ns.Run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
		for _, tt := range tests {
			ns.Run(t, "ip", "link", "set", "tap0", "mtu", fmt.Sprint(tt.kernels))
			cfg.Name, cfg.MTU = "tap0", tt.asked
			d, err := open(t, ns, cfg)
			if tt.want < 0 {
				if err == nil {
					d.Close()
					t.Errorf("MTU %d on an interface with %d was accepted", tt.asked, tt.kernels)
				} else if !strings.Contains(err.Error(), "MTU") {
					t.Errorf("MTU %d on an interface with %d: %v", tt.asked, tt.kernels, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("MTU %d on an interface with %d: %v", tt.asked, tt.kernels, err)
				continue
			}
			if d.MTU() != tt.want || !strings.Contains(ns.Run(t, "ip", "link", "show", "tap0"), fmt.Sprintf(" mtu %d ", tt.want)) {
				t.Errorf("MTU %d on an interface with %d: MTU = %d, want %d here and there", tt.asked, tt.kernels, d.MTU(), tt.want)
			}
			d.Close()
		}
	})
}

func TestOpen_LinkAddr(t *testing.T) {
	ns := quietNamespace(t)
	ns.Run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
	ns.Run(t, "ip", "link", "set", "tap0", "address", addrB.String())
	tests := []struct {
		addr nd.LinkAddr
		ok   bool
	}{
		{nd.LinkAddr{}, true},
		{addrA, true},
		{addrB, false}, // the kernel's
		{group, false},
		{nd.BroadcastLinkAddr, false},
	}
	for _, tt := range tests {
		d, err := open(t, ns, tap.Config{Name: "tap0", LinkAddr: tt.addr})
		if (err == nil) != tt.ok {
			t.Errorf("address %v: error %v, want success: %v", tt.addr, err, tt.ok)
		}
		if err != nil {
			continue
		}
		want := tt.addr
		if want.IsZero() {
			want = tap.LinkAddrFor("tap0")
		}
		if d.LinkAddr() != want {
			t.Errorf("LinkAddr = %v, want %v", d.LinkAddr(), want)
		}
		d.Close()
	}
}

func TestOpen_Refused(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		ns.Run(t, "ip", "tuntap", "add", "dev", "tun9", "mode", "tun")
		ns.Run(t, "ip", "tuntap", "add", "dev", "many9", "mode", "tap", "multi_queue")
		for _, name := range []string{"lo", "tun9", "many9", "a name that is too long", "with/slash"} {
			cfg.Name = name
			if _, err := open(t, ns, cfg); err == nil || !strings.Contains(err.Error(), "open TAP "+name+": ") {
				t.Errorf("Open(%q): %v, want an error with the name", name, err)
			}
		}
	})
}

func TestOpen_WithoutPrivilege(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		ns.Run(t, "ip", "tuntap", "add", "dev", "mine0", "mode", "tap", "user", fmt.Sprint(os.Geteuid()))
		ns.Run(t, "ip", "tuntap", "add", "dev", "other0", "mode", "tap", "user", "65534")
		ns.Do(t, func() {
			defer dropNetAdmin(t)()
			for _, name := range []string{"new0", "other0"} {
				cfg.Name = name
				d, err := tap.Open(cfg)
				if err == nil {
					d.Close()
				}
				want := "sudo ip tuntap add dev " + name + " mode tap user "
				if !errors.Is(err, unix.EPERM) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), want) {
					t.Errorf("Open(%s): %v, want EPERM and %q", name, err, want)
				}
			}

			cfg.Name, cfg.MTU = "mine0", 1400
			if d, err := tap.Open(cfg); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "set the MTU of mine0 to 1400: ") {
				t.Errorf("Open of one's own TAP with another MTU: %v, %v, want EPERM and the operation", d, err)
			}
			cfg.MTU = 1500
			d, err := tap.Open(cfg)
			if err != nil {
				t.Fatalf("Open of one's own TAP: %v", err)
			}
			defer d.Close()
			if err := d.SetUp(); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "bring mine0 up: ") {
				t.Errorf("SetUp: %v, want EPERM and the operation", err)
			}
			ns.Run(t, "ip", "link", "set", "mine0", "up")
			if err := d.SetUp(); err != nil {
				t.Errorf("SetUp of what is up: %v", err)
			}
		})
	})
}

// dropNetAdmin takes CAP_NET_ADMIN from the calling thread, which must be
// locked, until the function that it returns is called.
func dropNetAdmin(t *testing.T) (restore func()) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var before, without [2]unix.CapUserData
	if err := unix.Capget(&header, &before[0]); err != nil {
		t.Fatal(err)
	}
	without = before
	without[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(&header, &without[0]); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Capset(&header, &before[0]); err != nil {
			t.Error(err)
			runtime.Goexit() // the thread stays locked and ends
		}
	}
}

// openFiles are the names of this process's open files by descriptor.
func openFiles(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && !strings.HasPrefix(name, "/proc/") {
			names[e.Name()] = name
		}
	}
	return names
}

func TestOpen_LeaksNoFile(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		openUp(t, ns, cfg) // tap0 is held, and the poller runs
		ns.Run(t, "ip", "tuntap", "add", "dev", "tap1", "mode", "tap")
		ns.Run(t, "ip", "link", "set", "tap1", "address", addrB.String())
		before := openFiles(t)
		for _, bad := range []tap.Config{
			{Name: "tap0"},
			{Name: "lo"},
			{Name: "a name that is too long"},
			{Name: "tap1", MTU: 100},
			{Name: "tap1", LinkAddr: addrB},
			{Name: "new0", LinkAddr: group},
		} {
			bad.Backend, bad.NoOffload = cfg.Backend, cfg.NoOffload
			if _, err := open(t, ns, bad); err == nil {
				t.Fatalf("Open(%+v) succeeded", bad)
			}
		}
		d, err := open(t, ns, tap.Config{Name: "tap1", Backend: cfg.Backend})
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		if diff := cmp.Diff(before, openFiles(t)); diff != "" {
			t.Errorf("open files (-before +after):\n%s", diff)
		}
		if exists(t, ns, "new0") {
			t.Error("a failed Open left the TAP that it created")
		}
	})
}

func TestOpen_FilesAreCloseOnExec(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		before := openFiles(t)
		openUp(t, ns, cfg)
		opened := 0
		for fd, name := range openFiles(t) {
			if _, ok := before[fd]; ok {
				continue
			}
			opened++
			var n int
			fmt.Sscan(fd, &n)
			if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("file %s (%s): flags %#x, %v, want close-on-exec", fd, name, flags, err)
			}
		}
		if opened == 0 {
			t.Error("Open opened nothing")
		}
	})
}

// rawTAP attaches a file to tap0 as a service manager would. The caller owns
// it.
func rawTAP(t *testing.T, ns *netnstest.Namespace, flags uint16) (fd int) {
	t.Helper()
	ns.Do(t, func() {
		var err error
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR, 0); err != nil {
			t.Fatal(err)
		}
		request, _ := unix.NewIfreq("tap0")
		request.SetUint16(flags)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			t.Fatal(err)
		}
	})
	return fd
}

func openFD(t *testing.T, ns *netnstest.Namespace, fd int, cfg tap.Config) (d *tap.Device, err error) {
	t.Helper()
	ns.Do(t, func() { d, err = tap.OpenFD(fd, cfg) })
	if err == nil {
		t.Cleanup(func() { d.Close() })
	}
	return d, err
}

func TestOpenFD(t *testing.T) {
	tests := []struct {
		name    string
		flags   uint16
		cfg     tap.Config
		offload bool
	}{
		{"with the header", unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR, tap.Config{}, true},
		{"with the header, offload unwanted", unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR, tap.Config{NoOffload: true}, false},
		{"without the header", unix.IFF_TAP | unix.IFF_NO_PI, tap.Config{Backend: tap.Linux}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ns := quietNamespace(t)
			fd := rawTAP(t, ns, tt.flags)
			// What the last user left must not matter.
			unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, 12)
			d, err := openFD(t, ns, fd, tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if d.Name() != "tap0" || d.MTU() != 1500 || d.Offload().TCPSegmentation != tt.offload {
				t.Errorf("name %q, MTU %d, offload %+v", d.Name(), d.MTU(), d.Offload())
			}
			if err := d.SetUp(); err != nil {
				t.Fatal(err)
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("flags %#x, %v, want close-on-exec", flags, err)
			}
			k := kernelSide(t, ns, "tap0", testEtherType, false)
			out := frame(nd.BroadcastLinkAddr, addrA, "out")
			send(t, d, out)
			if got := k.receive(); !bytes.Equal(got, out) {
				t.Errorf("the kernel got %x, want %x", got, out)
			}
			in := frame(d.LinkAddr(), addrA, "in")
			k.send(in)
			if got := receive(t, d); !bytes.Equal(got, in) {
				t.Errorf("Read = %x, want %x", got, in)
			}
			result := make(chan error, 1)
			startBlockedRead(t, ns, d, result)
			within(t, "Close", func() {
				d.Close()
				<-result
			})
			if exists(t, ns, "tap0") {
				t.Error("the file is still open after Close")
			}
		})
	}
}

func TestOpenFD_Refused(t *testing.T) {
	ns := quietNamespace(t)
	before := openFiles(t)
	file, err := unix.Open("/dev/null", unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openFD(t, ns, file, tap.Config{}); err == nil || !strings.Contains(err.Error(), "not attached to a TAP") {
		t.Errorf("OpenFD of /dev/null: %v", err)
	}
	if _, err := openFD(t, ns, rawTAP(t, ns, unix.IFF_TUN|unix.IFF_NO_PI), tap.Config{}); err == nil || !strings.Contains(err.Error(), "tap0 is a TUN") {
		t.Errorf("OpenFD of a TUN: %v", err)
	}
	plain := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if _, err := openFD(t, ns, rawTAP(t, ns, plain), tap.Config{Backend: tap.Water}); err == nil || !strings.Contains(err.Error(), "water") {
		t.Errorf("OpenFD with the water backend: %v", err)
	}
	// The interface of this name where the caller is, is another one.
	elsewhere := quietNamespace(t)
	for _, elsewhereToo := range []bool{false, true} {
		if elsewhereToo {
			elsewhere.Run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
		}
		if _, err := openFD(t, elsewhere, rawTAP(t, ns, plain), tap.Config{}); err == nil || !strings.Contains(err.Error(), "in another network namespace") {
			t.Errorf("OpenFD in another namespace, with a tap0 there: %v: %v", elsewhereToo, err)
		}
	}
	if diff := cmp.Diff(before, openFiles(t)); diff != "" {
		t.Errorf("open files (-before +after):\n%s", diff)
	}
}

const (
	etherTypeIPv6 = 0x86dd
	ipv6Len       = 40
)

// segment is a frame with a TCP segment over IPv6 whose checksum is partial.
func segment(to, from nd.LinkAddr, payload int) []byte {
	b := append(append([]byte(nil), to[:]...), from[:]...)
	b = binary.BigEndian.AppendUint16(b, etherTypeIPv6)
	ip := make([]byte, ipv6Len)
	ip[0], ip[6], ip[7] = 0x60, unix.IPPROTO_TCP, 64
	binary.BigEndian.PutUint16(ip[4:], uint16(20+payload))
	copy(ip[8:], []byte{0x20, 0x01, 0x0d, 0xb8, 15: 0x0a})
	copy(ip[24:], []byte{0x20, 0x01, 0x0d, 0xb8, 15: 0x0b})
	tcp := make([]byte, 20+payload)
	binary.BigEndian.PutUint16(tcp, 1000)
	binary.BigEndian.PutUint16(tcp[2:], 2000)
	tcp[12], tcp[13] = 5<<4, 0x10
	for i := range tcp[20:] {
		tcp[20+i] = byte(i * 7)
	}
	b = append(append(b, ip...), tcp...)
	binary.BigEndian.PutUint16(b[headerLen+ipv6Len+16:], pseudoHeaderSum(b))
	return b
}

// wholeSegment is how such a frame crosses a device.
var wholeSegment = stack.FrameOffload{
	NeedsChecksum: true, ChecksumStart: headerLen + ipv6Len, ChecksumOffset: 16,
	SegmentSize: 1428, HeaderLen: headerLen + ipv6Len + 20,
}

// vnet is what wholeSegment is in a virtio-net header of the kernel's packet
// sockets, which is in the byte order of the machine.
func vnet() []byte {
	b := []byte{unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV6}
	for _, v := range []uint16{wholeSegment.HeaderLen, wholeSegment.SegmentSize, wholeSegment.ChecksumStart, wholeSegment.ChecksumOffset} {
		b = binary.NativeEndian.AppendUint16(b, v)
	}
	return b
}

// largestPayload makes the largest frame that Linux gives a TAP whole, 65,535
// octets with the Ethernet header. It takes more.
const largestPayload = 65535 - headerLen - ipv6Len - 20

func TestDevice_WholeSegmentFromTheKernel(t *testing.T) {
	ns := quietNamespace(t)
	d := openUp(t, ns, tap.Config{})
	if got := (stack.Offload{TCPSegmentation: true, MaxSegment: 65535}); d.Offload() != got {
		t.Errorf("Offload = %+v, want %+v", d.Offload(), got)
	}
	k := kernelSide(t, ns, "tap0", etherTypeIPv6, true)
	for _, payload := range []int{1429, 30000, largestPayload} {
		want := segment(d.LinkAddr(), addrA, payload)
		k.send(append(vnet(), want...))
		r := room(1, headerLen+65535)
		if n, err := d.Read(r); n != 1 || err != nil {
			t.Fatalf("Read = %d, %v", n, err)
		}
		if got := r[0].Data[0][:r[0].Len]; !bytes.Equal(got, want) {
			t.Errorf("payload of %d: %d octets arrived, want the %d that were sent", payload, len(got), len(want))
		}
		if diff := cmp.Diff(wholeSegment, r[0].Offload); diff != "" {
			t.Errorf("payload of %d: offload (-want +got):\n%s", payload, diff)
		}
	}
}

func TestDevice_WithoutOffloadTheKernelCutsSegments(t *testing.T) {
	for _, v := range variants[1:] {
		t.Run(v.name, func(t *testing.T) {
			ns := quietNamespace(t)
			// Whoever had this TAP before left offload on.
			ns.Run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
			other := rawTAP(t, ns, unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
			if err := unix.IoctlSetInt(other, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO6); err != nil {
				t.Fatal(err)
			}
			unix.Close(other)
			d := openUp(t, ns, v.cfg)
			if d.Offload() != (stack.Offload{}) {
				t.Errorf("Offload = %+v, want none", d.Offload())
			}
			k := kernelSide(t, ns, "tap0", etherTypeIPv6, true)
			k.send(append(vnet(), segment(d.LinkAddr(), addrA, 5000)...))
			for _, want := range []int{1428, 1428, 1428, 5000 - 3*1428} {
				got := receive(t, d)
				if len(got) != headerLen+ipv6Len+20+want {
					t.Errorf("frame of %d octets, want a segment of %d", len(got), want)
				}
				if !checksumIsRight(got) {
					t.Error("the checksum is not complete")
				}
			}
			f := segment(nd.BroadcastLinkAddr, d.LinkAddr(), 100)
			for _, o := range []stack.FrameOffload{wholeSegment, {NeedsChecksum: true, ChecksumStart: 54, ChecksumOffset: 16}} {
				if n, err := d.Write([]stack.Frame{{Data: [][]byte{f}, Offload: o}}); n != 0 || err == nil {
					t.Errorf("Write with %+v = %d, %v, want an error", o, n, err)
				}
			}
		})
	}
}

// Whoever has a TAP next, without the virtio-net header, gets whole frames.
func TestDevice_LeavesNoOffloadBehind(t *testing.T) {
	ns := quietNamespace(t)
	ns.Run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
	openUp(t, ns, tap.Config{}).Close()
	fd := rawTAP(t, ns, unix.IFF_TAP|unix.IFF_NO_PI)
	defer unix.Close(fd)
	k := kernelSide(t, ns, "tap0", etherTypeIPv6, true)
	k.send(append(vnet(), segment(addrB, addrA, 1429)...))
	b := make([]byte, 1<<16)
	if n, err := unix.Read(fd, b); err != nil || n != headerLen+ipv6Len+20+1428 || !checksumIsRight(b[:n]) {
		t.Errorf("read %d octets, %v, want the first of two segments with its checksum", n, err)
	}
}

// checksumIsRight verifies the transport checksum (RFC 8200, section 8.1).
func checksumIsRight(frame []byte) bool {
	sum := uint32(pseudoHeaderSum(frame))
	for b := frame[headerLen+ipv6Len:]; len(b) > 0; b = b[min(2, len(b)):] {
		sum += uint32(b[0]) << 8
		if len(b) > 1 {
			sum += uint32(b[1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum == 0xffff
}

func TestDevice_WholeSegmentToTheKernel(t *testing.T) {
	ns := quietNamespace(t)
	d := openUp(t, ns, tap.Config{})
	k := kernelSide(t, ns, "tap0", etherTypeIPv6, true)
	for _, payload := range []int{1429, 30000, 65535 - ipv6Len - 20} {
		want := segment(nd.BroadcastLinkAddr, d.LinkAddr(), payload)
		pieces := [][]byte{want[:headerLen+ipv6Len+20]}
		for rest := want[headerLen+ipv6Len+20:]; len(rest) > 0; rest = rest[min(4096, len(rest)):] {
			pieces = append(pieces, rest[:min(4096, len(rest))])
		}
		if n, err := d.Write([]stack.Frame{{Data: pieces, Offload: wholeSegment}}); n != 1 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		got := k.receive()
		if !bytes.Equal(got[10:], want) {
			t.Errorf("payload of %d: %d octets arrived, want the %d that were sent", payload, len(got)-10, len(want))
		}
		header := got[:10]
		binary.NativeEndian.PutUint16(header[2:], wholeSegment.HeaderLen) // a hint
		if !bytes.Equal(header, vnet()) {
			t.Errorf("payload of %d: virtio-net header %x, want %x", payload, header, vnet())
		}
	}
}

// kernelSpeaksIPv6 turns IPv6 on at the kernel's end of tap0, with address
// 2001:db8::1.
func kernelSpeaksIPv6(t testing.TB, ns *netnstest.Namespace) {
	t.Helper()
	ns.Run(t, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/tap0/disable_ipv6")
	ns.Run(t, "ip", "addr", "add", "2001:db8::1/64", "dev", "tap0", "nodad")
	// The kernel finishes by and by, and drops packets until then.
	within(t, "the kernel's address", func() {
		for !strings.Contains(ns.Run(t, "ip", "-6", "route", "show", "table", "local"), "local 2001:db8::1 ") {
		}
	})
}

// What the kernel's own sockets send over the TAP.
func TestDevice_KernelLeavesChecksumsToUs(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		kernelSpeaksIPv6(t, ns)
		ns.Run(t, "ip", "neigh", "add", "2001:db8::2", "lladdr", d.LinkAddr().String(), "dev", "tap0")
		ns.Do(t, func() {
			c, err := net.Dial("udp", "[2001:db8::2]:2000")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte("datagram")); err != nil {
				t.Fatal(err)
			}
		})
		r := room(1, 1<<16)
		for {
			if n, err := d.Read(r); n != 1 || err != nil {
				t.Fatalf("Read = %d, %v", n, err)
			}
			if r[0].Data[0][headerLen+6] == unix.IPPROTO_UDP { // and not MLD or ND
				break
			}
		}
		got := r[0].Data[0][:r[0].Len]
		if partial := d.Offload().TCPSegmentation; !partial {
			if r[0].Offload != (stack.FrameOffload{}) || !checksumIsRight(got) {
				t.Errorf("offload %+v, checksum right: %v", r[0].Offload, checksumIsRight(got))
			}
			return
		}
		want := stack.FrameOffload{NeedsChecksum: true, ChecksumStart: headerLen + ipv6Len, ChecksumOffset: 6}
		if diff := cmp.Diff(want, r[0].Offload); diff != "" {
			t.Errorf("offload (-want +got):\n%s", diff)
		}
		if sum := binary.BigEndian.Uint16(got[headerLen+ipv6Len+6:]); sum != pseudoHeaderSum(got) {
			t.Errorf("checksum field %#x, want the pseudo-header's sum %#x", sum, pseudoHeaderSum(got))
		}
	})
}

// A partial checksum of ours is complete, or known to be good, to the
// kernel's sockets.
func TestDevice_KernelTakesAPartialChecksum(t *testing.T) {
	ns := quietNamespace(t)
	d := openUp(t, ns, tap.Config{})
	kernelSpeaksIPv6(t, ns)
	var c net.PacketConn
	ns.Do(t, func() {
		var err error
		if c, err = net.ListenPacket("udp", "[2001:db8::1]:2000"); err != nil {
			t.Fatal(err)
		}
	})
	defer c.Close()
	kernel := linkAddrOf(t, ns, "tap0")
	b := udp(t, []byte("datagram"))
	copy(b, kernel[:])
	copy(b[headerLen+8:], []byte{0x20, 0x01, 0x0d, 0xb8, 15: 2})
	copy(b[headerLen+24:], []byte{0x20, 0x01, 0x0d, 0xb8, 15: 1})
	binary.BigEndian.PutUint16(b[headerLen+ipv6Len+6:], pseudoHeaderSum(b))
	o := stack.FrameOffload{NeedsChecksum: true, ChecksumStart: headerLen + ipv6Len, ChecksumOffset: 6}
	// Without the flag the checksum is wrong: that one must not arrive.
	if n, err := d.Write([]stack.Frame{{Data: [][]byte{b}}, {Data: [][]byte{b}, Offload: o}}); n != 2 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, 100)
	n, _, err := c.ReadFrom(got)
	if err != nil || string(got[:n]) != "datagram" {
		t.Fatalf("the kernel's socket read %q, %v", got[:n], err)
	}
	if errs := udpChecksumErrors(t, ns); errs != "1" {
		t.Errorf("the kernel counts %s checksum errors, want 1, for the frame without the flag", errs)
	}
}

func linkAddrOf(t *testing.T, ns *netnstest.Namespace, name string) (a nd.LinkAddr) {
	t.Helper()
	ns.Do(t, func() {
		i, err := net.InterfaceByName(name)
		if err != nil {
			t.Fatal(err)
		}
		a = nd.LinkAddr(i.HardwareAddr)
	})
	return a
}

func udpChecksumErrors(t *testing.T, ns *netnstest.Namespace) string {
	t.Helper()
	for line := range strings.Lines(ns.Run(t, "cat", "/proc/net/snmp6")) {
		if f := strings.Fields(line); f[0] == "Udp6InCsumErrors" {
			return f[1]
		}
	}
	t.Fatal("the kernel has no Udp6InCsumErrors")
	return ""
}

func TestDevice_ManyWriters(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		const writers, each = 4, 50
		d := openUp(t, ns, cfg)
		k := kernelSide(t, ns, "tap0", testEtherType, false)
		var wg sync.WaitGroup
		for w := range uint32(writers) {
			wg.Go(func() {
				for i := range uint32(each) {
					b := numbered(nd.BroadcastLinkAddr, addrA, w<<16|i)
					if n, err := d.Write([]stack.Frame{{Data: [][]byte{b[:5], b[5:]}}}); n != 1 || err != nil {
						t.Errorf("Write = %d, %v", n, err)
					}
				}
			})
		}
		next := make([]uint32, writers)
		for range writers * each {
			n := binary.BigEndian.Uint32(k.receive()[headerLen:])
			if n>>16 >= writers || n&0xffff != next[n>>16] {
				t.Fatalf("frame %#x, want the next of %v", n, next)
			}
			next[n>>16]++
		}
		wg.Wait()
	})
}

func BenchmarkDevice(b *testing.B) {
	for _, v := range variants {
		b.Run(v.name+"/write", func(b *testing.B) {
			d := openUp(b, quietNamespace(b), v.cfg)
			f := frame(nd.BroadcastLinkAddr, addrA, strings.Repeat("x", 1500))
			benchmarkWrite(b, d, stack.Frame{Data: [][]byte{f[:54], f[54:]}})
		})
		b.Run(v.name+"/read", func(b *testing.B) {
			ns := quietNamespace(b)
			d := openUp(b, ns, v.cfg)
			k := kernelSide(b, ns, "tap0", testEtherType, false)
			f := frame(d.LinkAddr(), addrA, strings.Repeat("x", 1486))
			benchmarkRead(b, d, k, f)
		})
	}
	b.Run("linux/write 64 KiB", func(b *testing.B) {
		d := openUp(b, quietNamespace(b), tap.Config{})
		f := segment(nd.BroadcastLinkAddr, d.LinkAddr(), largestPayload)
		var pieces [][]byte
		for rest := f; len(rest) > 0; rest = rest[min(4096, len(rest)):] {
			pieces = append(pieces, rest[:min(4096, len(rest))])
		}
		benchmarkWrite(b, d, stack.Frame{Data: pieces, Offload: wholeSegment})
	})
	b.Run("linux/read 64 KiB", func(b *testing.B) {
		ns := quietNamespace(b)
		d := openUp(b, ns, tap.Config{})
		k := kernelSide(b, ns, "tap0", etherTypeIPv6, true)
		benchmarkRead(b, d, k, append(vnet(), segment(d.LinkAddr(), addrA, largestPayload)...))
	})
}

func benchmarkWrite(b *testing.B, d *tap.Device, f stack.Frame) {
	frames := []stack.Frame{f}
	length := 0
	for _, p := range f.Data {
		length += len(p)
	}
	b.SetBytes(int64(length))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Write(frames); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkRead includes what the kernel does to send a frame.
func benchmarkRead(b *testing.B, d *tap.Device, k *kernelEnd, sent []byte) {
	const batch = 32
	r := room(batch, headerLen+65535)
	b.SetBytes(int64(len(sent)))
	b.ReportAllocs()
	for waiting := 0; b.Loop(); {
		if waiting == 0 {
			for range batch {
				k.send(sent)
			}
			waiting = batch
		}
		n, err := d.Read(r[:1])
		if err != nil {
			b.Fatal(err)
		}
		waiting -= n
	}
}
