package dns

// maxNames is how many names a worker remembers; each has at most 255 bytes.
const maxNames = 4096

// nameTable is the texts of names that were answered, so that the same question does not cost a new one. It is emptied
// when it is full. Names that are not there are not kept: whoever invents them fills nothing.
type nameTable map[string]string

// text returns the text of a name in lower case, and whether it is a new one.
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
