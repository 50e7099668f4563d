//go:build unix

package jwks

import (
	"errors"
	"os"
	"syscall"
)

// openSaved opens the file if only this process's user or root can have written it. It
// does not follow a symbolic link, and does not wait for a writer if the file is a
// pipe.
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
		return errors.New("the file is not a regular file")
	case info.Mode().Perm()&0o022 != 0:
		return errors.New("users other than its owner can write the file; expected mode 0600")
	case ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid():
		return errors.New("the file belongs to neither this process's user nor root")
	}
	return nil
}
