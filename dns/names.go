package dns

// maxNames is how many names a worker remembers; each has at most 255 bytes.
const maxNames = 4096

// nameTable is the texts of names that were answered, so that a repeated question does not allocate a new one. It is
// emptied when it is full. Only names that exist are kept, so random queries cannot fill the table.
type nameTable map[string]string

// text returns the text of a name in lower case, and whether the table lacks it.
func (t nameTable) text(name []byte) (text string, fresh bool) {
	if text, ok := t[string(name)]; ok {
		return text, false
	}
	return string(name), true
}

func (t nameTable) keep(text string) {
	if len(t) >= maxNames {
		clear(t)
	}
	t[text] = text
}
