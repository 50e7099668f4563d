//go:build unix

package jwks

import (
	"errors"
	"os"
	"syscall"
)

// openSaved opens the file if nobody but us or root can have written it. It
// neither follows a link nor waits for the other end of a pipe.
func openSaved(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = trusted(info)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func trusted(info os.FileInfo) error {
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case info.Mode().Perm()&0o022 != 0:
		return errors.New("others than its owner may write it; expected mode 0600")
	case ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid():
		return errors.New("it belongs to another user")
	}
	return nil
}
