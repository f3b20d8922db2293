package conformance

import (
	"errors"
	"os"

	"github.com/tapstack/tapstack/nd"
)

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
