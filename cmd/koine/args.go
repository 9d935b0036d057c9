package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
)

// knownCommand refuses an unknown command, and names the one that was probably meant.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := mistake("unknown command %q", args[0])
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		return err.WithHint("did you mean %s?", strings.Join(like, " or "))
	}
	return err.WithHint("see %s --help", cmd.CommandPath())
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unexpected(cmd, args[0])
}

// optionalArg takes one argument or none.
func optionalArg(cmd *cobra.Command, args []string) error {
	return noArgs(cmd, args[min(1, len(args)):])
}

func unexpected(cmd *cobra.Command, arg string) error {
	return mistake("unexpected argument %q", arg).WithHint("see %s --help", cmd.CommandPath())
}

// oneArg requires one argument that names something.
func oneArg(noun string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := named(cmd, noun, args); err != nil {
			return err
		}
		return noArgs(cmd, args[1:])
	}
}

// thenCommand requires one argument that names something; a command may follow after "--".
func thenCommand(noun string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		dash := cmd.ArgsLenAtDash()
		if dash == 0 {
			args = nil
		}
		if err := named(cmd, noun, args); err != nil {
			return err
		}
		switch {
		case dash < 0 && len(args) > 1, dash > 1:
			return mistake("unexpected argument %q", args[1]).WithHint("put a command after --")
		case dash == 1 && len(args) == 1:
			return mistake("no command after --").WithHint("see %s --help", cmd.CommandPath())
		}
		return nil
	}
}

func named(cmd *cobra.Command, noun string, args []string) error {
	if len(args) == 0 || args[0] == "" {
		return mistake("name the %s", noun).WithHint("%s", usage(cmd))
	}
	return nil
}

func usage(cmd *cobra.Command) string { return strings.TrimSuffix(cmd.UseLine(), " [flags]") }

// mistake returns the error for a command line that can never succeed.
func mistake(format string, args ...any) *catalog.Error {
	return catalog.Errorf(catalog.KindInvalid, format, args...)
}

// pairs splits key=value texts.
func pairs(flag string, list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(list))
	for _, text := range list {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, mistake("%s %q is not key=value", flag, text)
		}
		m[key] = value
	}
	return m, nil
}

// oneZone refuses a zone or a region with a slash, which separates the two in the form REGION/ZONE.
func oneZone(flag, name string) error {
	region, zone, found := strings.Cut(name, "/")
	if !found {
		return nil
	}
	err := mistake("--%s %q has a slash, which separates a region from a zone", flag, name)
	if flag == "zone" && region != "" && zone != "" && !strings.Contains(zone, "/") {
		return err.WithHint("write it as --region %s --zone %s", region, zone)
	}
	return err.WithHint("leave the slash out")
}
