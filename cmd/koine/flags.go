package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/spelling"
)

// choice is a flag's value that is one of a few words, in any letter case.
type choice struct {
	value   string
	allowed []string
}

// newChoice returns a choice whose default is the first word.
func newChoice(allowed ...string) *choice { return &choice{value: allowed[0], allowed: allowed} }

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return "word" }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.allowed, strings.ToLower(text)) {
		return errors.New("is not " + alternatives(c.allowed))
	}
	c.value = strings.ToLower(text)
	return nil
}

// alternatives joins words by commas, the last by "or".
func alternatives(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// addChoice adds a flag that takes one of a few words; they are completed, too.
func addChoice(cmd *cobra.Command, c *choice, name, shorthand, usage string) {
	cmd.Flags().VarP(c, name, shorthand, usage)
	completeFlag(cmd, name, words(c.allowed...))
}

// ports is the value of --port, which may be repeated or have several numbers by commas.
type ports []uint16

func (p *ports) Type() string { return "port" }

func (p *ports) String() string {
	var numbers []string
	for _, port := range *p {
		numbers = append(numbers, strconv.Itoa(int(port)))
	}
	return strings.Join(numbers, ",")
}

func (p *ports) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		number, err := strconv.ParseUint(strings.TrimSpace(part), 10, 16)
		if err != nil || number == 0 {
			return errors.New("is not a port: 1 to 65535 are allowed")
		}
		*p = append(*p, uint16(number))
	}
	return nil
}

// expected describes the values of a flag's type, for types whose error in the library would show terms of Go.
var expected = map[string]string{
	"bool":        "is neither true nor false",
	"int":         "is not a whole number",
	"duration":    "is not a duration such as 10s or 5m",
	"stringSlice": "is not a list: separate its values by commas, without quotes",
}

// badValue describes a flag's invalid value and its origin: the command line, the environment or a file.
func badValue(from string, invalid *pflag.InvalidValueError) *catalog.Error {
	text, known := expected[invalid.GetFlag().Value.Type()]
	if !known {
		text = invalid.Unwrap().Error()
	}
	return catalog.Errorf(catalog.KindInvalid, "%s %q %s", from, invalid.GetValue(), text)
}

// flagError rewrites an error in the command line's flags in the form of all other errors.
func flagError(cmd *cobra.Command, err error) error {
	message, hint := err.Error(), fmt.Sprintf("see %s --help", cmd.CommandPath())
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		message = badValue("--"+invalid.GetFlag().Name, invalid).Message
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		message = "unknown flag --" + unknown.GetSpecifiedName()
		if shorthands := unknown.GetSpecifiedShortnames(); shorthands != "" {
			message = "unknown flag -" + unknown.GetSpecifiedName()
		} else if like := spelling.Closest(unknown.GetSpecifiedName(), flagNames(cmd)); like != "" {
			hint = fmt.Sprintf("did you mean --%s?", like)
		}
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		message = fmt.Sprintf("--%s has no value", missing.GetFlag().Name)
	}
	return catalog.Errorf(catalog.KindInvalid, "%s", message).WithHint("%s", hint)
}

func flagNames(cmd *cobra.Command) (names []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}
