#!/bin/sh
# The kernel of Linux as a host of the conformance suite, in its smallest form:
#
#	tapstack conform run --target exec --link veth --exec conformance/hosts/kernel.sh
#
# The target linux can do more.

# setup reads iface=eth0 link=veth mac=… profile=… chance=… [knob.NAME=VALUE]…
setup() {
	for word; do
		case $word in
		iface=*) iface=${word#*=} ;;
		link=tap) final="cannot a kernel takes --link veth" ;;
		knob.*) final="cannot there is no setting for ${word#knob.}" ;;
		esac
	done
	conf=/proc/sys/net/ipv6/conf
	echo 0 >$conf/$iface/addr_gen_mode # identifiers of the link-layer address
	echo 0 >$conf/$iface/use_tempaddr
	echo 2 >$conf/$iface/accept_dad # a duplicate link-local address ends IPv6
	echo 0 >$conf/$iface/enhanced_dad
	echo 0 >$conf/all/enhanced_dad # it is on if it is for all or for one
}

# try runs a command; what it says against it is what the host says.
try() {
	why=$("$@" 2>&1) || final="refused $(echo "$why" | head -n 1)"
}

while read -r request words; do
	set -- $words
	final=ok
	case $request in
	hello)
		echo "name Linux $(uname -r)"
		echo "can updown addresses routes neighbors flush linkaddr mtu echo icmp fragments pmtu tcp mldv2"
		echo "profiles rfc4862"
		;;
	setup) setup "$@" ;;
	up | down) try ip link set dev "$iface" "$request" ;;
	add)
		case $* in
		*' '*) final="cannot there is no add $2" ;;
		*) try ip -6 addr add "$1" dev "$iface" ;;
		esac
		;;
	del) try ip -6 addr flush to "$1" dev "$iface" ;;
	route-add) try ip -6 route add "$@" dev "$iface" ;;
	route-del) try ip -6 route del "$@" dev "$iface" ;;
	neighbor-add) try ip -6 neigh replace "$1" lladdr "$2" dev "$iface" ;;
	neighbor-del) try ip -6 neigh del "$1" dev "$iface" ;;
	flush) try ip -6 neigh flush dev "$iface" ;;
	mac) try ip link set dev "$iface" address "$1" ;;
	mtu) try ip link set dev "$iface" mtu "$1" ;;
	*) final="cannot there is no $request" ;;
	esac
	echo "$final"
done
