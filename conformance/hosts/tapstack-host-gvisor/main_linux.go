package main

import (
	"log"
	"os"

	"github.com/tapstack/tapstack/conformance/hostline"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("tapstack-host-gvisor: ")
	if err := hostline.Serve(os.Stdin, os.Stdout, new(host)); err != nil {
		log.Fatal(err)
	}
}
