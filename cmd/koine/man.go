package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/koine-sd/koine/catalog"
)

// documentation is the address of the guides.
const documentation = "https://github.com/koine-sd/koine"

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", GroupID: groupOther,
		Short: "write the manual pages into a directory",
		Long:  "Write a manual page for each command into a directory, in the format of man(1). The directory must exist.",
		Example: "  koine man . && man ./koine-lookup.1\n" +
			"  sudo koine man /usr/local/share/man/man1     for man koine, and man koine-lookup",
		Args: oneArg("directory"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error { return writeManual(cmd.Root(), args[0]) },
	}
}

// writeManual writes a page for each command that koine --help shows.
func writeManual(root *cobra.Command, dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return mistake("directory %s does not exist", dir).WithHint("create it: mkdir -p %s", dir)
	case err != nil:
		return fmt.Errorf("manual pages: %w", err)
	case !info.IsDir():
		return mistake("%s is a file", dir).WithHint("name a directory")
	}
	built := time.Time{}
	if date, err := time.Parse(time.RFC3339, commitDate); err == nil {
		built = date
	}
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Source: "Koine " + root.Version, Manual: "Koine", Date: &built}
	if err := doc.GenManTree(root, header, dir); err != nil {
		return catalog.Errorf(catalog.KindInvalid, "manual pages: %v", err)
	}
	return nil
}
