//go:build !unix

package jwks

import (
	"errors"
	"os"
)

// openSaved opens the file. It does not check which users can write it, because on
// this platform the file's mode does not show it. Only the permissions of the
// folder protect it.
func openSaved(name string) (*os.File, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("the file is not a regular file")
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
