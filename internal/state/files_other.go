//go:build !unix

package state

import (
	"io/fs"
	"os"
)

// lockDir does nothing: there is no portable lock on a directory.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }

func openFile(path string) (*os.File, error) { return os.Open(path) }

func checkDir(string) error { return nil }

// checkAccess does nothing: modes and owners mean other things here.
func checkAccess(string, fs.FileInfo, fs.FileMode, string) error { return nil }

// syncDir does nothing: a directory cannot be opened for that.
func syncDir(string) error { return nil }
