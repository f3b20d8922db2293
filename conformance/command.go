package conformance

import (
	"fmt"
	"strings"
)

// ParseCommand reads a command as Command.String writes it: in plain
// addresses, every word in its place. It is for hosts that are told commands
// in text.
func ParseCommand(s string) (Command, error) {
	words := strings.Split(s, " ")
	if _, ok := commandNeeds[words[0]]; !ok {
		return Command{}, fmt.Errorf("%q is no command", words[0])
	}
	c, err := order{words[0], words[1:]}.command(newNames(HostLinkAddr))
	if err != nil {
		return Command{}, err
	}
	// Names and shorter forms are for scenarios.
	if c.text != s {
		return Command{}, fmt.Errorf("%q is written %q", s, c.text)
	}
	return c, nil
}
