// Command koine runs a service registry, and is the command line for a running one.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"
)

// unversioned is the version of a binary that was built without one.
const unversioned = "dev"

// version and commitDate are set by the linker.
var (
	version    = unversioned
	commitDate = ""
)

func main() {
	if code, ran := asFirst(); ran {
		os.Exit(code)
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// The exit codes. With a command that koine runs for its user, koine ends with that command's own.
const (
	exitNone  = 1 // the server answered that nothing was found
	exitError = 2 // a mistake on the command line, a refusal, or no answer
	exitUnmet = 3 // the awaited state has not come in time
)

// exitCode ends the process with a code and without a message: all messages have been printed.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run runs one command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(screen{stdout})
	root.SetErr(screen{stderr})
	if slices.Contains(args, "--") {
		root.Annotations = map[string]string{dashed: "true"}
	}
	refused := refuseHelpOfNothing(root)
	cmd, err := root.ExecuteC()
	if err == nil {
		err = refused()
	}
	code, quiet := errors.AsType[exitCode](err)
	switch {
	case err == nil:
		return 0
	case quiet:
		return int(code)
	default:
		report(cmd, args, err)
		return exitError
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "koine",
		Short: "one service registry for containers that speaks every dialect",
		Long: "Koine registers containers and other services, checks their health, and lets everyone find them by DNS and HTTP.\n" +
			"The guides are at " + documentation + ".",
		Example: "  koine dev                                     run everything here, in the foreground\n" +
			"  koine register web --port 8080 -- ./server    in another terminal: run a service that can be found\n" +
			"  koine lookup web                              where it is\n" +
			"  dig @127.0.0.1 -p 8600 web.service.koine      the same by DNS",
		Version: thisBuild(debug.ReadBuildInfo()).Version,
		Args:    knownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SilenceUsage: true, SilenceErrors: true, DisableFlagsInUseLine: true, SuggestionsMinimumDistance: 2,
	}
	root.SetVersionTemplate("koine {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	addGlobals(root)
	addGroups(root)
	root.SetHelpCommand(helpCommand())
	root.AddCommand(devCommand(), validateCommand(),
		registerCommand(), deregisterCommand(), pushCommand(), drainCommand(),
		lookupCommand(), watchCommand(), servicesCommand(), instancesCommand(), nodesCommand(), checksCommand(), statusCommand(),
		explainCommand(), historyCommand(), eventsCommand(),
		versionCommand(), manCommand())
	addCompletion(root)
	return root
}

// addGlobals adds the flags that every command has.
func addGlobals(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.String("http", "", "HTTP address: to listen on when running, of the server when asking (default 127.0.0.1:8500)")
	markSettings(flags)
	flags.String("config", "", "YAML file with the values of settings")
	completeFlag(root, "http", words("127.0.0.1:8500"))
	must(root.MarkPersistentFlagFilename("config", "yaml", "yml"))
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := applySettings(cmd); err != nil {
			return err
		}
		if !runsKoine(cmd) { // its log has them
			for _, warning := range misspelt(cmd, os.Environ()) {
				say(cmd, "%s", warning)
			}
		}
		return nil
	}
}

// runsKoine reports whether a command runs Koine, rather than asks a running one.
func runsKoine(cmd *cobra.Command) bool {
	return cmd.GroupID == groupRun && cmd.Flags().Lookup("log-level") != nil
}
