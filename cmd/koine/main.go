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

// The exit codes. A command that koine runs for its user ends it with its own.
const (
	exitNone  = 1 // asked, and there is none
	exitError = 2 // a mistake on the command line, a refusal, or no answer
)

// exitCode ends the process with a code and without a message: what there was to say has been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run runs one command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintf(stderr, "koine: %v\n", err)
		return exitError
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "koine",
		Short: "one service registry for containers that speaks every dialect",
		Long:  "Koine registers containers and other services, checks their health, and lets everyone find them by DNS and HTTP.",
		Example: "  koine dev                                     run everything here, in the foreground\n" +
			"  koine register web --port 8080 -- ./server    in another terminal: run a service that can be found\n" +
			"  koine lookup web                              where it is\n" +
			"  dig @127.0.0.1 -p 8600 web.service.koine      the same by DNS",
		Version: version,
		Args:    knownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SilenceUsage: true, SilenceErrors: true, DisableFlagsInUseLine: true, SuggestionsMinimumDistance: 2,
	}
	root.SetVersionTemplate("koine {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())
	})
	root.PersistentFlags().String("http", "", "HTTP address: of the door when running, of the server when asking (default 127.0.0.1:8500)")
	root.PersistentFlags().String("config", "", "YAML file with the values of flags")
	root.PersistentPreRunE = applySettings
	root.AddCommand(devCommand(), servicesCommand(), lookupCommand(), watchCommand(), registerCommand(),
		deregisterCommand(), drainCommand(), explainCommand(), historyCommand(), eventsCommand(), nodesCommand(), versionCommand())
	addCompletion(root)
	return root
}

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "print the version", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wantsJSON(cmd) {
				return printJSON(cmd, map[string]string{"version": version})
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "koine %s\n", version)
			return err
		},
	}
	addOutput(cmd)
	return cmd
}
