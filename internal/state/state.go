package state

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	secretFile = "secret"
	// secretSize is twice what RFC 7217, section 5, asks for at least.
	secretSize = 32
)

// Store is a state directory. Its methods may be called from any goroutine.
type Store struct {
	dir      string
	secret   []byte
	counters []counter // as Open found them
}

// Open reads the state directory dir. It makes the directory with mode 0700,
// and the secret in it, if they are not there. An error names the file, what is
// wrong with it and what to do.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	s := &Store{dir: dir}
	var err error
	if s.secret, err = s.readSecret(); errors.Is(err, fs.ErrNotExist) {
		if err = s.makeSecret(); err == nil {
			s.secret, err = s.readSecret()
		}
	}
	if err != nil {
		return nil, err
	}
	if s.counters, err = s.readCounters(); err != nil {
		return nil, err
	}
	return s, nil
}

// Secret returns the secret key of RFC 7217, section 5: 32 random octets that
// stay the same as long as the directory exists.
func (s *Store) Secret() []byte { return append([]byte(nil), s.secret...) }

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// newSecretHelp goes with every fault of the secret.
const newSecretHelp = "restore it, or remove it to have a new one made, which gives the host other addresses"

func (s *Store) readSecret() ([]byte, error) {
	b, err := s.read(secretFile, secretSize, othersMayNotRead)
	switch {
	case err != nil:
		return nil, err
	case len(b) != secretSize:
		return nil, fmt.Errorf("%s has %d octets instead of %d: %s", s.path(secretFile), len(b), secretSize, newSecretHelp)
	case string(b) == string(make([]byte, secretSize)):
		// As a file is after a crash whose data never reached the disk.
		return nil, fmt.Errorf("%s holds nothing but zeros: %s", s.path(secretFile), newSecretHelp)
	}
	return b, nil
}

// makeSecret makes the secret, unless another process is quicker. RFC 7217,
// section 5, has it made when the stack starts for the first time.
func (s *Store) makeSecret() error {
	unlock, err := lockDir(s.dir)
	if err != nil {
		return err
	}
	defer unlock()
	secret := make([]byte, secretSize)
	rand.Read(secret)
	return s.write(secretFile, secret, func(temporary, path string) error {
		// Unlike a rename, a link never replaces a file.
		if err := os.Link(temporary, path); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

// read returns the contents of a file of at most most octets that only this
// user may write, or, with othersMayNotRead, read.
func (s *Store) read(name string, most int64, forbidden fs.FileMode) ([]byte, error) {
	path := s.path(name)
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file: move it out of the way", path)
	}
	if err := checkAccess(path, info, forbidden, "chmod 600"); err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s has %d octets, more than %d: it is damaged: restore or remove it", path, info.Size(), most)
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// What nobody but the owner may do with a file.
const (
	othersMayNotWrite fs.FileMode = 0o022
	othersMayNotRead  fs.FileMode = 0o077
)

// write puts data into a temporary file, makes sure that it is on the disk, and
// has publish give it its name: after a crash the file is as it was or as it
// should be, and never half of it. The directory is locked.
func (s *Store) write(name string, data []byte, publish func(temporary, path string) error) error {
	s.removeLeftovers()
	path := s.path(name)
	f, err := os.CreateTemp(s.dir, temporaryPattern) // with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = publish(f.Name(), path)
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	// A rename has moved it; in all other cases it is there.
	if removed := os.Remove(f.Name()); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

const temporaryPattern = ".new-*"

// removeLeftovers removes the temporary files of processes that were killed:
// the directory is locked, so nobody else writes one now.
func (s *Store) removeLeftovers() {
	left, err := filepath.Glob(s.path(temporaryPattern))
	if err != nil {
		return // dir has characters that Glob does not take: they stay
	}
	for _, path := range left {
		// If that fails, so does what follows.
		_ = os.Remove(path)
	}
}
