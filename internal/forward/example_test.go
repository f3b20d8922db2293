package forward_test

import (
	"fmt"

	"github.com/tapstack/tapstack/internal/forward"
)

func ExampleParseRule() {
	rule, err := forward.ParseRule("tcp::80=localhost:8080")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rule.Listen, rule.Target)
	// Output: [::]:80 localhost:8080
}
