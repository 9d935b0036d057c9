// Package logtail shortens a program's log next to a failed test: the end is shown, the whole is kept in a file.
package logtail

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Dir is the environment variable that names the directory in which whole logs are kept. Without it they are kept in
// koine-test-logs, in the directory for temporary files.
const Dir = "KOINE_TEST_LOGS"

// Lines is the number of lines shown from the end.
const Lines = 40

// Of returns the last lines of a text. It keeps a longer one in a file, and names the file.
func Of(name, text string) string {
	text = strings.TrimRight(text, "\n")
	lines := strings.Split(text, "\n")
	if len(lines) <= Lines {
		return text
	}
	left := len(lines) - Lines
	return fmt.Sprintf("(%d lines before these; all are in %s)\n%s", left, Keep(name, text), strings.Join(lines[left:], "\n"))
}

// Keep writes a text to a file of its own, and returns its path: "nowhere" with the reason if that fails.
func Keep(name, text string) (where string) {
	path, err := write(name, text)
	if err != nil {
		return fmt.Sprintf("nowhere: %v", err)
	}
	return path
}

// write writes a text to a file of its own and returns its path.
func write(name, text string) (string, error) {
	dir := os.Getenv(Dir)
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "koine-test-logs")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(dir, strings.ReplaceAll(name, "/", "-")+"-*.log")
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(text + "\n")
	if closed := file.Close(); err == nil {
		err = closed
	}
	return file.Name(), err
}
