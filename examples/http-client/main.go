// Command http-client fetches a page from an IPv6 host of its own on a TAP:
//
//	sudo go run ./examples/http-client tap1 2001:db8::81/64 'http://[2001:db8::80]/'
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/netip"
	"os"

	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

func main() {
	if err := fetch(os.Args[1], netip.MustParsePrefix(os.Args[2]), os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func fetch(name string, addr netip.Prefix, url string) error {
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
	client := http.Client{Transport: &http.Transport{DialContext: s.DialContext}}
	page, err := client.Get(url)
	if err != nil {
		return err
	}
	defer page.Body.Close()
	_, err = io.Copy(os.Stdout, page.Body)
	return err
}
