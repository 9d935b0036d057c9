package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// allCommands returns a command and all below it, except those that cobra makes itself.
func allCommands(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.Name() != "completion" && !sub.Hidden {
			list = append(list, allCommands(sub)...)
		}
	}
	return list
}

// TestHelpForm holds the help texts of all commands to one form.
func TestHelpForm(t *testing.T) {
	root := newRoot()
	for _, cmd := range allCommands(root) {
		path := cmd.CommandPath()
		if first, _ := utf8.DecodeRuneInString(cmd.Short); !unicode.IsLower(first) || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: the short text %q begins with a capital or ends with a full stop", path, cmd.Short)
		}
		if cmd.Long != "" {
			if first, _ := utf8.DecodeRuneInString(cmd.Long); !unicode.IsUpper(first) || !strings.HasSuffix(cmd.Long, ".") {
				t.Errorf("%s: the long text is not made of sentences:\n%s", path, cmd.Long)
			}
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", path)
		}
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			if !strings.HasPrefix(line, "  ") || !strings.Contains(line, "koine") {
				t.Errorf("%s: odd example %q", path, line)
			}
		}
		for line := range strings.SplitSeq(cmd.Long, "\n") {
			if utf8.RuneCountInString(line) > 120 {
				t.Errorf("%s: the line %q is too long", path, line)
			}
		}
		if cmd != root && cmd.Parent() == root && cmd.GroupID == "" {
			t.Errorf("%s is in no group", path)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { checkUsage(t, path, f) })
	}
}

// acronym matches a word that is written in capitals everywhere.
var acronym = regexp.MustCompile(`^(HTTP|DNS|IP|URL|YAML|Docker)\b`)

func checkUsage(t *testing.T, path string, f *pflag.Flag) {
	t.Helper()
	first, _ := utf8.DecodeRuneInString(strings.TrimPrefix(f.Usage, "`"))
	if strings.HasSuffix(f.Usage, ".") || !unicode.IsLower(first) && !acronym.MatchString(f.Usage) {
		t.Errorf("%s --%s: usage %q begins with a capital or ends with a full stop", path, f.Name, f.Usage)
	}
}

// TestGroups holds that every command is listed under a heading.
func TestGroups(t *testing.T) {
	stdout, _, _ := koine("--help")
	for _, heading := range []string{"Run Koine:", "Register and change:", "Look up:", "Ask what happened, and why:", "Other commands:"} {
		if !strings.Contains(stdout, "\n"+heading+"\n") {
			t.Errorf("no heading %q in\n%s", heading, stdout)
		}
	}
	if strings.Contains(stdout, "Additional Commands") {
		t.Errorf("commands without a group:\n%s", stdout)
	}
}

// TestFlagsComplete holds that each flag of a client command completes its value, or is known to have nothing to
// complete, and that files are completed nowhere else.
func TestFlagsComplete(t *testing.T) {
	free := []string{ // numbers, times and texts of the user's own
		"port", "meta", "weight", "ttl", "address", "check-http", "check-tcp", "check-udp", "check-grpc", "check-h2ping",
		"check-interval", "since", "last", "reason", "wait", "timeout", "message", "advertise",
	}
	root := newRoot()
	for _, cmd := range allCommands(root) {
		if runsKoine(cmd) {
			continue
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			_, completed := cmd.GetFlagCompletionFunc(f.Name)
			_, file := f.Annotations[cobra.BashCompFilenameExt]
			_, dir := f.Annotations[cobra.BashCompSubdirsInDir]
			if f.Value.Type() != "bool" && !completed && !file && !dir && !slices.Contains(free, f.Name) {
				t.Errorf("%s --%s completes nothing", cmd.CommandPath(), f.Name)
			}
		})
	}
	if d := root.CompletionOptions.DefaultShellCompDirective; d == nil || *d != cobra.ShellCompDirectiveNoFileComp {
		t.Error("where nothing is known, files are completed")
	}
}
