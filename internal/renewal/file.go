package renewal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/koine-sd/koine/internal/durable"
)

const (
	// maxEntries and maxBytes bound the file, maxLine one entry of it.
	maxEntries = 1 << 20
	maxBytes   = 128 << 20
	maxLine    = 8 << 10
	format     = 1
)

// header is the first line of the file; each further one is an entry.
type header struct {
	V       int       `json:"v"`
	Owner   string    `json:"owner"`
	Written time.Time `json:"written"`
}

// line is an entry, with its times in milliseconds.
type line struct {
	Key   string `json:"key"`
	Age   int64  `json:"age"`
	Grace int64  `json:"grace,omitempty"`
}

// content is what was read of a file.
type content struct {
	written time.Time
	entries map[string]Entry
	// damaged is the number of lines that cannot be read.
	damaged int
}

// read reads the file of an owner; nil if there is none.
func read(path, owner string) (*content, error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): // opening a pipe would wait for its other end
		return nil, errors.New("it is not a regular file")
	case info.Size() > maxBytes:
		return nil, fmt.Errorf("it has %d bytes, more than %d", info.Size(), maxBytes)
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	lines := bufio.NewScanner(io.LimitReader(r, maxBytes))
	lines.Buffer(nil, maxLine)
	lines.Scan()
	var h header
	if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	switch {
	case h.V != format:
		return nil, fmt.Errorf("it has format %d, this version knows %d", h.V, format)
	case h.Owner != owner:
		return nil, errors.New("it belongs to another node")
	}
	c := &content{written: h.Written, entries: make(map[string]Entry)}
	for lines.Scan() && len(c.entries) < maxEntries {
		c.add(lines.Bytes())
	}
	if lines.Err() != nil {
		c.damaged++
	}
	return c, nil
}

func (c *content) add(raw []byte) {
	var l line
	if err := json.Unmarshal(raw, &l); err != nil || l.Key == "" {
		c.damaged++
		return
	}
	c.entries[l.Key] = Entry{Age: fromMillis(l.Age), Grace: fromMillis(l.Grace)}
}

func fromMillis(n int64) time.Duration {
	return time.Duration(min(max(n, 0), forever.Milliseconds())) * time.Millisecond
}

// write replaces the file.
func (b *Book) write(sources []Source) error {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	if err := out.Encode(header{format, b.owner, time.Now().UTC()}); err != nil {
		return err
	}
	n := 0
	for key, e := range b.all(sources) {
		if n++; n > maxEntries {
			break
		}
		if err := out.Encode(line{key, max(e.Age.Milliseconds(), 0), e.Grace.Milliseconds()}); err != nil {
			return err
		}
	}
	return durable.WriteFile(b.path, text.Bytes(), 0o600)
}
