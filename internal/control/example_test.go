package control_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tapstack/tapstack/internal/control"
	"github.com/tapstack/tapstack/stack"
)

func Example() {
	stk, err := stack.New(stack.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stk.Close()
	dir, err := os.MkdirTemp("", "tapstack")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "tap0.sock")
	l, err := control.Listen(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	s := control.NewServer(stk, control.Version{Tapstack: "v1.0.0"})
	go s.Serve(l)
	defer s.Close()

	c := control.NewClient(path)
	v, err := c.Version(context.Background())
	fmt.Println(v.Tapstack, err)
	_, err = c.Addresses(context.Background(), "tap0")
	fmt.Println(err, control.ExitCode(err))
	// Output:
	// v1.0.0 <nil>
	// interface tap0: no such interface 4
}
