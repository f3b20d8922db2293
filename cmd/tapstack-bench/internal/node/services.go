package node

import (
	"net"
	"net/netip"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
)

// Ports of the peer's services (RFC 862, 863 and 864).
const (
	echoPort    uint16 = 7
	discardPort uint16 = 9
	chargenPort uint16 = 19
)

// Serve makes a peer echo, discard and make up data, over TCP and UDP. Nobody
// reads its socket for datagrams to discard: what arrives is counted by the
// interface.
func (n *Node) Serve(struct{}, *struct{}) error {
	for port, serve := range map[uint16]func(net.Conn){
		echoPort: echo, discardPort: discard, chargenPort: chargen,
	} {
		l, err := net.Listen("tcp6", netip.AddrPortFrom(host.Peer, port).String())
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					serve(c)
				}()
			}
		}()
	}
	if _, err := listenUDP(discardPort); err != nil {
		return err
	}
	c, err := listenUDP(echoPort)
	if err != nil {
		return err
	}
	go echoDatagrams(c)
	return nil
}

func listenUDP(port uint16) (*net.UDPConn, error) {
	return net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(host.Peer, port)))
}

func echo(c net.Conn) {
	for buf := make([]byte, 2048); ; {
		k, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:k]); err != nil {
			return
		}
	}
}

func discard(c net.Conn) {
	for buf := make([]byte, chunk); ; {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

func chargen(c net.Conn) {
	for buf := make([]byte, chunk); ; {
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

func echoDatagrams(c *net.UDPConn) {
	for buf := make([]byte, 2048); ; {
		k, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		c.WriteToUDPAddrPort(buf[:k], from)
	}
}
