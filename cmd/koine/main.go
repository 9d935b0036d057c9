// Command koine is the one binary: it runs a service registry, and asks a running one.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// exitError ends the process with a code and without a message: what there was to say has been said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run runs one command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintf(stderr, "koine: %v\n", err)
		return 2
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "koine",
		Short: "one service registry for containers that speaks every dialect",
		Long: "Koine registers containers and other services, checks their health, and lets everyone find them by DNS and HTTP.\n" +
			"Start with: koine dev",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.PersistentFlags().String("http", "", "HTTP address: of the door when running, of the server when asking (default 127.0.0.1:8500)")
	root.PersistentFlags().String("config", "", "YAML file with the values of flags")
	root.PersistentPreRunE = applySettings
	root.AddCommand(devCommand(), servicesCommand(), lookupCommand(), watchCommand(), registerCommand(),
		deregisterCommand(), nodesCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintf(cmd.OutOrStdout(), "koine %s\n", version) },
	}
}
