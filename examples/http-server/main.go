// Command http-server serves HTTP from an IPv6 host of its own on a TAP:
//
//	sudo go run ./examples/http-server tap0 2001:db8::80/64
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"

	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

func main() {
	log.Fatal(serve(os.Args[1], netip.MustParsePrefix(os.Args[2])))
}

func serve(name string, addr netip.Prefix) error {
	dev, err := tap.Open(tap.Config{Name: name})
	if err == nil {
		err = dev.SetUp()
	}
	if err != nil {
		return err
	}
	s, _ := stack.New(stack.Config{})
	defer s.Close()
	i, err := s.Attach(name, dev, stack.InterfaceConfig{})
	if err == nil { // blocks until Duplicate Address Detection has ended
		err = i.AddAddress(context.Background(), stack.AddressConfig{Prefix: addr, OnLink: addr.Masked()})
	}
	if err != nil {
		return err
	}
	l, err := s.Listen("tcp", net.JoinHostPort(addr.Addr().String(), "80"))
	if err != nil {
		return err
	}
	log.Printf("serving http://%s/", l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s\n", r.RemoteAddr)
	}))
}
