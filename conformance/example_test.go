package conformance_test

import (
	"fmt"
	"time"

	"github.com/tapstack/tapstack/conformance"
)

// A host that was told to come up says nothing for two seconds.
func ExampleOracle() {
	oracle, err := conformance.NewOracle(conformance.Setup{Profile: "rfc4862", LinkAddr: conformance.HostLinkAddr}, 50*time.Millisecond)
	if err != nil {
		panic(err)
	}
	if _, err := oracle.Do(0, conformance.Command{Op: "up"}); err != nil {
		panic(err)
	}
	fmt.Println(oracle.Silent(time.Second)) // the delay may be a second
	d := oracle.Silent(2 * time.Second)
	fmt.Println(d.Section)
	fmt.Println("expected", d.Expected)
	fmt.Println("observed", d.Observed)
	// Output:
	// <nil>
	// RFC 3810, section 6
	// expected report src=:: dst=ff02::16 record=to_ex(ff02::1:ff00:1) by 1s
	// observed nothing
}
