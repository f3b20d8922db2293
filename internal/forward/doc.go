// Package forward joins what arrives at TCP ports of a tapstack host to the
// network of the system that it runs on.
//
//	rule, err := forward.ParseRule("tcp:[2001:db8::5]:80=127.0.0.1:8080")
//	if err != nil {
//		return err
//	}
//	s, err := forward.Start(stk, log, rule)
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//
// Join alone joins any two connections.
package forward
