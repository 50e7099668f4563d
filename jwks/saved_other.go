//go:build !unix

package jwks

import (
	"errors"
	"os"
)

// openSaved opens the file. Who may write it is for its folder to say: here
// the mode does not tell.
func openSaved(name string) (*os.File, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
