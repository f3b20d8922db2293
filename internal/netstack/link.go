package netstack

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// ethernetSize is the room that gVisor leaves in front of every packet.
const ethernetSize = header.EthernetMinimumSize

// link is what gVisor takes for its NIC's device: it has no link addresses to
// resolve, so gVisor hands it every packet at once. It is its own queueing
// discipline, so that packets come one by one and without a list around them.
type link struct{ host *Host }

// WritePacket implements stack.QueueingDiscipline.
func (l *link) WritePacket(pkt *stack.PacketBuffer) tcpip.Error {
	return l.host.output((*Packet)(pkt))
}

// WritePackets implements stack.LinkWriter; gVisor uses the queueing
// discipline instead.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range pkts.AsSlice() {
		if err := l.WritePacket(pkt); err != nil {
			return i, err
		}
	}
	return pkts.Len(), nil
}

// GSOMaxSize implements stack.GSOEndpoint.
func (l *link) GSOMaxSize() uint32 { return uint32(l.host.cfg.GSOMaxSize) }

// SupportedGSO implements stack.GSOEndpoint. It is this alone that makes gVisor
// leave TCP checksums to the device. CapabilityTXChecksumOffload is not set:
// with it, packets that are not for cutting, a SYN among them, would leave
// with a partial checksum too.
func (l *link) SupportedGSO() stack.SupportedGSO {
	if l.host.cfg.GSOMaxSize == 0 {
		return stack.GVisorGSOSupported
	}
	return stack.HostGSOSupported
}

func (l *link) MTU() uint32                                  { return l.host.mtu.Load() }
func (l *link) SetMTU(uint32)                                {}
func (l *link) MaxHeaderLength() uint16                      { return ethernetSize }
func (l *link) LinkAddress() tcpip.LinkAddress               { return "" }
func (l *link) SetLinkAddress(tcpip.LinkAddress)             {}
func (l *link) Capabilities() stack.LinkEndpointCapabilities { return 0 }
func (l *link) Attach(stack.NetworkDispatcher)               {}
func (l *link) IsAttached() bool                             { return true }
func (l *link) Wait()                                        {}
func (l *link) ARPHardwareType() header.ARPHardwareType      { return header.ARPHardwareNone }
func (l *link) AddHeader(*stack.PacketBuffer)                {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool         { return true }
func (l *link) Close()                                       {}
func (l *link) SetOnCloseAction(func())                      {}
