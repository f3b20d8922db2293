// Package conformance judges IPv6 hosts: it plays scenarios against a host
// from the other end of its link, and says which section of which RFC a host
// departs from that does not pass.
//
// A scenario is text; docs/conformance.md describes the format. The host is a
// Target, made by a Driver: CoreDriver is the reference model in virtual time,
// StackDriver the whole stack in this process, LinuxDriver the kernel,
// TapDriver a tapstack process, and ExecDriver any program that speaks a
// protocol of lines.
//
//	cases, err := conformance.Scenarios()
//	if err != nil {
//		return err
//	}
//	for _, r := range (conformance.Runner{Driver: conformance.CoreDriver{}}).Run(ctx, cases) {
//		if r.Verdict == conformance.Fail {
//			r.WriteText(os.Stdout)
//		}
//	}
//
// The judge reads and writes packets with code of its own. Whatever a host
// does with frames of the tester is seen on the wire alone, so that every host
// is judged alike; what a host shows of its tables is looked at besides, where
// it shows any.
package conformance
