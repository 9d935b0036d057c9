package registry

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koine-sd/koine/catalog"
)

// Root is the prefix of every record.
const Root = "koine/"

const (
	nodePrefix     = Root + "node/"
	alivePrefix    = Root + "alive/"
	instancePrefix = Root + "instance/"
	checkPrefix    = Root + "check/"
	syncPrefix     = Root + "sync/"
	drainPrefix    = Root + "drain/"
	pushPrefix     = Root + "push/"
	markPrefix     = Root + "mark/"
)

// format is the version of the values written. A reader must refuse a version that it does not know.
const format = 1

// nodeSegment is a node's part of a key: names compare without regard to letter case, and so do keys.
func nodeSegment(node string) string { return url.PathEscape(strings.ToLower(node)) }

func nodeKey(node string) string         { return nodePrefix + nodeSegment(node) }
func aliveKey(node string) string        { return alivePrefix + nodeSegment(node) }
func syncKey(node string) string         { return syncPrefix + nodeSegment(node) }
func instancesOf(node string) string     { return instancePrefix + nodeSegment(node) + "/" }
func checksOf(node string) string        { return checkPrefix + nodeSegment(node) + "/" }
func instanceKey(node, id string) string { return instancesOf(node) + url.PathEscape(id) }
func checkKey(node, check string) string { return checksOf(node) + url.PathEscape(check) }
func pushKey(node, check string) string {
	return pushPrefix + nodeSegment(node) + "/" + url.PathEscape(check)
}
func sessionID(id clientv3.LeaseID) string { return strconv.FormatInt(int64(id), 16) }

// leaseID is the inverse of sessionID; 0 if text is none.
func leaseID(text string) clientv3.LeaseID {
	id, err := strconv.ParseInt(text, 16, 64)
	if err != nil {
		return 0
	}
	return clientv3.LeaseID(id)
}

// The values as they are written: the noun with its format version.
type (
	nodeRecord struct {
		V int `json:"v"`
		*catalog.Node
	}
	aliveRecord struct {
		V       int    `json:"v"`
		Session string `json:"session"`
	}
	instanceRecord struct {
		V int `json:"v"`
		*catalog.Instance
	}
	checkRecord struct {
		V int `json:"v"`
		*catalog.Check
	}
	syncRecord struct {
		V int `json:"v"`
	}
	drainRecord struct {
		V int `json:"v"`
		*catalog.Drain
	}
	pushRecord struct {
		V int `json:"v"`
		*catalog.Push
	}
	markRecord struct {
		V int `json:"v"`
	}
)

func encode(record any) []byte {
	raw, err := json.Marshal(record)
	if err != nil {
		// The records hold strings, numbers and validated raw JSON only.
		panic("registry: encode record: " + err.Error())
	}
	return raw
}

// sameAsKept reports whether an instance is as the store has it. A stored instance reads back with its extras compact.
func sameAsKept(kept, i *catalog.Instance) bool {
	if kept.Equal(i) || len(i.Extras) == 0 {
		return kept.Equal(i)
	}
	compact := *i
	compact.Extras = make(map[string]json.RawMessage, len(i.Extras))
	for name, raw := range i.Extras {
		compact.Extras[name] = encode(raw)
	}
	return kept.Equal(&compact)
}

// keyOf returns the record that a key names. The error names the fault of a key that is not Koine's.
func keyOf(key string) (catalog.Change, error) {
	var c catalog.Change
	rest, ok := strings.CutPrefix(key, Root)
	if !ok {
		return c, fmt.Errorf("key %q is not below %s", key, Root)
	}
	kind, rest, _ := strings.Cut(rest, "/")
	if kind == "drain" {
		return drainOf(key, rest)
	}
	name, id, nested := strings.Cut(rest, "/")
	types := map[string]catalog.RecordType{
		"node": catalog.RecordNode, "alive": catalog.RecordSession,
		"instance": catalog.RecordInstance, "check": catalog.RecordCheck, "push": catalog.RecordPush,
		"mark": catalog.RecordMark,
	}
	c.Type, ok = types[kind]
	alone := c.Type == catalog.RecordNode || c.Type == catalog.RecordSession || c.Type == catalog.RecordMark
	if !ok || nested == alone {
		return c, fmt.Errorf("key %q names no record", key)
	}
	var err error
	if c.Name, err = url.PathUnescape(name); err != nil {
		return c, fmt.Errorf("key %q: %w", key, err)
	}
	if c.ID, err = url.PathUnescape(id); err != nil {
		return c, fmt.Errorf("key %q: %w", key, err)
	}
	return c, nil
}

// decode reads a record. The value is nil for a deleted one.
func decode(key string, value []byte) (catalog.Change, error) {
	c, err := keyOf(key)
	if err != nil || value == nil {
		return c, err
	}
	var version int
	switch c.Type {
	case catalog.RecordNode:
		r := nodeRecord{Node: new(catalog.Node)}
		err = json.Unmarshal(value, &r)
		version, c.Node = r.V, r.Node
	case catalog.RecordSession:
		var r aliveRecord
		err = json.Unmarshal(value, &r)
		version, c.Session = r.V, r.Session
	case catalog.RecordInstance:
		r := instanceRecord{Instance: new(catalog.Instance)}
		err = json.Unmarshal(value, &r)
		version, c.Instance = r.V, r.Instance
	case catalog.RecordCheck:
		r := checkRecord{Check: new(catalog.Check)}
		err = json.Unmarshal(value, &r)
		version, c.Check = r.V, r.Check
	case catalog.RecordDrain:
		r := drainRecord{Drain: new(catalog.Drain)}
		err = json.Unmarshal(value, &r)
		version, c.Drain = r.V, r.Drain
	case catalog.RecordPush:
		r := pushRecord{Push: new(catalog.Push)}
		err = json.Unmarshal(value, &r)
		version, c.Push = r.V, r.Push
	case catalog.RecordMark:
		var r markRecord
		err = json.Unmarshal(value, &r)
		version, c.Mark = r.V, &catalog.Mark{ID: c.Name}
	}
	if err != nil {
		return c, fmt.Errorf("value of %q: %w", key, err)
	}
	if version != format {
		return c, fmt.Errorf("value of %q has format %d, this version knows %d", key, version, format)
	}
	return c, consistent(key, &c)
}

// consistent reports whether a value names what its key names: a value written to the store by hand may be wrong.
func consistent(key string, c *catalog.Change) error {
	ok := true
	switch c.Type {
	case catalog.RecordNode:
		ok = c.Node != nil && strings.EqualFold(c.Node.Name, c.Name)
	case catalog.RecordSession:
		ok = c.Session != ""
	case catalog.RecordInstance:
		ok = c.Instance != nil && strings.EqualFold(c.Instance.Node, c.Name) && c.Instance.ID == c.ID
	case catalog.RecordCheck:
		ok = c.Check != nil && strings.EqualFold(c.Check.Node, c.Name) && c.Check.ID == c.ID
	case catalog.RecordDrain:
		ok = c.Drain != nil && drainKey(c.Drain) == key
	case catalog.RecordPush:
		ok = c.Push != nil && c.Push.Status.Valid() // only the key names its check
	}
	if !ok {
		return fmt.Errorf("value of %q belongs to another key", key)
	}
	return nil
}
