// Package control is the control interface of a running tapstack: HTTP with
// JSON over a Unix socket. Server answers, Client asks, and the types of this
// package are the bodies of both. docs/control-api.md describes it for users of
// other languages.
//
//	l, err := control.Listen("/run/tapstack/tap0.sock")
//	if err != nil {
//		return err
//	}
//	s := control.NewServer(stk, control.Version{})
//	go s.Serve(l)
//	defer s.Close()
//
// It does not authenticate: the socket has mode 0600, and who may open it may
// do everything.
package control
