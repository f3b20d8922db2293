//go:build !linux

package main

import "log"

func main() { log.Fatal("tapstack-host-gvisor: gVisor drives a TAP on Linux only") }
