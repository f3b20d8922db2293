package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/tapstack/tapstack/nd"
)

const countersFile = "counters.json"

// Bounds of counters.json. Prefixes come from routers, so anybody on a link can
// make counters grow: those that changed last are kept.
const (
	maxPerInterface = 64
	maxCounters     = 1024
	maxName         = 256 // octets in the name of an interface
	maxCountersSize = 2 << 20
)

// counter is an element of counters.json, a list in which what changed last
// comes last.
type counter struct {
	Interface string       `json:"interface"`
	Prefix    netip.Prefix `json:"prefix"`
	Counter   uint32       `json:"counter"`
}

// same reports whether c and d are for the same addresses.
func (c counter) same(d counter) bool { return c.Interface == d.Interface && c.Prefix == d.Prefix }

// check says what is wrong with a counter that was read or is to be saved.
func (c counter) check() error {
	switch {
	case c.Interface == "" || len(c.Interface) > maxName || !utf8.ValidString(c.Interface):
		return fmt.Errorf("%q is not the name of an interface", c.Interface)
	case !c.Prefix.Addr().Is6() || c.Prefix != c.Prefix.Masked():
		return fmt.Errorf("%v is not an IPv6 prefix", c.Prefix)
	}
	return nil
}

// Counters returns the DAD counters of an interface, as Open found them.
func (s *Store) Counters(iface string) []nd.DADCounter {
	var all []nd.DADCounter
	for _, c := range s.counters {
		if c.Interface == iface {
			all = append(all, nd.DADCounter{Prefix: c.Prefix, Counter: c.Counter})
		}
	}
	return all
}

// SaveCounter keeps a DAD counter of an interface for the next Open. Of an
// interface the 64 that changed last are kept, of all the 1,024. When it
// returns nil the counter is on the disk.
func (s *Store) SaveCounter(iface string, c nd.DADCounter) error {
	changed := counter{iface, c.Prefix, c.Counter}
	if err := changed.check(); err != nil {
		return fmt.Errorf("DAD counter: %w", err)
	}
	unlock, err := lockDir(s.dir)
	if err != nil {
		return err
	}
	defer unlock()
	// Anew: other processes save theirs too.
	all, err := s.readCounters()
	if err != nil {
		return err
	}
	b, err := json.Marshal(with(all, changed))
	if err != nil {
		return err
	}
	return s.write(countersFile, append(b, '\n'), os.Rename)
}

// with returns all with c as the latest, within the bounds.
func with(all []counter, c counter) []counter {
	all = slices.DeleteFunc(all, c.same)
	own := 1
	for k := len(all) - 1; k >= 0; k-- {
		if all[k].Interface != c.Interface {
			continue
		}
		if own++; own > maxPerInterface {
			all = slices.Delete(all, k, k+1)
		}
	}
	if len(all) >= maxCounters {
		all = all[len(all)-maxCounters+1:]
	}
	return append(all, c)
}

// readCounters returns what is in counters.json; without the file, nothing.
func (s *Store) readCounters() ([]counter, error) {
	b, err := s.read(countersFile, maxCountersSize, othersMayNotWrite)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := parseCounters(b)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w: restore it, or remove it to begin with no counters", s.path(countersFile), err)
	}
	return all, nil
}

func parseCounters(b []byte) ([]counter, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("it is not UTF-8")
	}
	var all []counter
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends too early")
		}
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the list")
	}
	if all == nil {
		return nil, errors.New("it is not a list")
	}
	if len(all) > maxCounters {
		return nil, fmt.Errorf("it has %d counters, more than %d", len(all), maxCounters)
	}
	seen := make(map[counter]bool)
	for k, c := range all {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("counter %d: %w", k, err)
		}
		key := counter{Interface: c.Interface, Prefix: c.Prefix}
		if seen[key] {
			return nil, fmt.Errorf("counter %d: %s has another one for %v", k, c.Interface, c.Prefix)
		}
		seen[key] = true
	}
	return all, nil
}
