package conformance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/tapstack/tapstack/nd"
)

// ready says why there can be no hosts in namespaces here, if so.
func ready(devices ...string) error {
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("iproute2 is not installed: %w", err)
	}
	for _, d := range devices {
		if _, err := os.Stat(d); err != nil {
			return err
		}
	}
	n, err := newNamespace()
	if err != nil {
		return err
	}
	return n.close()
}

// Ready says why there can be no such hosts here, if so.
func (LinuxDriver) Ready() error { return ready() }

// Ready says why there can be no such hosts here, if so.
func (d TapDriver) Ready() error {
	if _, err := d.executable(); err != nil {
		return err
	}
	return ready("/dev/net/tun")
}

// host makes the interface of a host, one of interfaceNames, and returns the
// tester's end of its link.
func (n namespace) host(link string, mac nd.LinkAddr) (port *os.File, err error) {
	if err := n.ip("link", "set", "lo", "up"); err != nil {
		return nil, err
	}
	if link == "tap" {
		return n.tap()
	}
	return n.veth(mac)
}

// tap makes the TAP tap0, which the host attaches to. The kernel's side of it
// has no IPv6 and is the tester's.
func (n namespace) tap() (port *os.File, err error) {
	if err := n.ip("tuntap", "add", "dev", "tap0", "mode", "tap"); err != nil {
		return nil, err
	}
	err = errors.Join(
		n.sysctl("net.ipv6.conf.tap0.disable_ipv6=1"),
		n.ip("link", "set", "tap0", "address", testerLinkAddr.String(), "up"),
	)
	if err != nil {
		return nil, err
	}
	return n.packetSocket("tap0")
}

// veth makes a pair of interfaces: eth0, which is the host's and down, and
// wire0, which is the tester's.
func (n namespace) veth(mac nd.LinkAddr) (port *os.File, err error) {
	if err := n.ip("link", "add", "eth0", "address", mac.String(), "type", "veth", "peer", "name", "wire0"); err != nil {
		return nil, err
	}
	err = errors.Join(
		n.sysctl("net.ipv6.conf.wire0.disable_ipv6=1"), n.fillChecksums("eth0"), n.fillChecksums("wire0"),
		n.ip("link", "set", "wire0", "up"),
	)
	if err != nil {
		return nil, err
	}
	return n.packetSocket("wire0")
}
