// Package durable writes to a disk so that a crash at any moment, of the process or of the machine, leaves either the
// former content or the whole new content, and never a part of it.
package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile creates a file, or replaces its content. Once it has returned without an error, the file is on the disk. It
// writes to PATH.new first: one process at a time may write a file.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	return writeFile(system{}, path, content, mode)
}

// disk is the part of the file system that WriteFile needs.
type disk interface {
	create(path string, mode fs.FileMode) (file, error)
	rename(from, to string) error
	syncDir(dir string) error
}

type file interface {
	io.WriteCloser
	Sync() error
}

func writeFile(d disk, path string, content []byte, mode fs.FileMode) error {
	fresh := path + ".new"
	if err := fill(d, fresh, content, mode); err != nil {
		return err
	}
	// A name must never lead to content that is not on the disk yet.
	if err := d.rename(fresh, path); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

func fill(d disk, path string, content []byte, mode fs.FileMode) error {
	f, err := d.create(path, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// system is the operating system's file system.
type system struct{}

func (system) create(path string, mode fs.FileMode) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
}

func (system) rename(from, to string) error { return os.Rename(from, to) }

func (system) syncDir(dir string) error { return SyncDir(dir) }

// SyncDir has the names of a directory written to the disk: of files that were created, renamed or removed in it.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MkdirAll makes a directory and its missing parents, and has their names written to the disk. It leaves the last step
// to the operating system if a parent may not be read.
func MkdirAll(path string, mode fs.FileMode) error {
	made := missing(path)
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	for _, dir := range made {
		if err := SyncDir(filepath.Dir(dir)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// missing returns those of a directory and its parents that do not exist.
func missing(path string) (dirs []string) {
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dirs
		}
		dirs = append(dirs, dir)
	}
}
