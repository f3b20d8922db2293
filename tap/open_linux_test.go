package tap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/tap"
	"golang.org/x/sys/unix"
)

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
