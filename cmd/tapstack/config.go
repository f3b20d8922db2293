package main

import (
	"bufio"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
)

// readConfig sets the flags of cmd from a file. What the command line gives
// stays as it is.
func readConfig(cmd *cobra.Command, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return exitError{control.ExitFailed, err.Error()}
	}
	defer file.Close()
	given := make(map[string]bool) // by the command line
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		key, value := configLine(lines.Text())
		if key == "" {
			continue
		}
		flag := cmd.Flags().Lookup(key)
		if flag == nil || key == "config" || key == "help" {
			return usagef("%s:%d: there is no key %q", path, n, key)
		}
		if _, seen := given[key]; !seen {
			given[key] = flag.Changed
		}
		if given[key] {
			continue
		}
		if value == "" {
			if value = flag.NoOptDefVal; value == "" {
				return usagef("%s:%d: %s needs a value", path, n, key)
			}
		}
		if err := cmd.Flags().Set(key, value); err != nil {
			return usagef("%s:%d: %v", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return exitError{control.ExitFailed, err.Error()}
	}
	return nil
}

// comment is where a comment begins: not within a value like fe80::1#2.
var comment = regexp.MustCompile(`(^|\s)#`)

// configLine parses "key value", "key = value" or "key"; a comment or an empty
// line has no key.
func configLine(line string) (key, value string) {
	if i := comment.FindStringIndex(line); i != nil {
		line = line[:i[0]]
	}
	line = strings.TrimSpace(line)
	end := strings.IndexAny(line, " \t=")
	if end < 0 {
		return line, ""
	}
	key, value = line[:end], strings.TrimSpace(line[end:])
	return key, strings.TrimSpace(strings.TrimPrefix(value, "="))
}
