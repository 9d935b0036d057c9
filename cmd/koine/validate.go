package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/source/files"
)

func validateCommand() *cobra.Command {
	var cfg files.ValidateConfig
	cmd := &cobra.Command{
		Use: "validate DIRECTORY|FILE...", GroupID: groupRun,
		Short: "find the errors in definition files",
		Long: "Read definition files as koine dev --config-dir does, and print each error with file, line and column. It needs no\n" +
			"running Koine. All arguments are read as if they were in one directory, so that two files with one id are an error.\n\n" +
			"The exit code is 0 if there is no error, 1 if there is one, and 2 if a file or directory does not exist.",
		Example: "  koine validate ./services\n" +
			"  koine validate web.json db.hcl\n" +
			"  koine validate ./services -o json",
		Args: someFiles, SuggestFor: []string{"check", "lint", "verify", "test"},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault // directories and files
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := files.Validate(cfg, args...)
			if err != nil {
				return err
			}
			return printReport(cmd, report)
		},
	}
	cmd.Flags().BoolVar(&cfg.EnableScripts, "enable-script-checks", false, "accept checks that run commands, as koine dev does with this flag")
	markSettings(cmd.Flags())
	addOutput(cmd)
	return cmd
}

func someFiles(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("name a directory or files: %s", strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	}
	for _, arg := range args {
		if arg == "" {
			return errors.New("the name of a file is empty")
		}
	}
	return nil
}

// printReport prints the findings. If they include an error, it returns the exit code for that.
func printReport(cmd *cobra.Command, r *files.Report) error {
	if wantsJSON(cmd) {
		if err := printJSON(cmd, r); err != nil {
			return err
		}
	} else if err := writeReport(cmd.OutOrStdout(), r); err != nil {
		return err
	}
	if len(r.Errors) > 0 {
		return exitCode(exitNone)
	}
	return nil
}

func writeReport(w io.Writer, r *files.Report) error {
	var b strings.Builder
	for _, f := range r.Warnings {
		b.WriteString(findingLine(f, "warning: "))
	}
	for _, f := range r.Errors {
		b.WriteString(findingLine(f, ""))
	}
	parts := []string{counted(r.Files, "file"), counted(r.Services, "service")}
	if r.NodeChecks > 0 {
		parts = append(parts, counted(r.NodeChecks, "check")+" of the node")
	}
	parts = append(parts, counted(len(r.Errors), "error"))
	if len(r.Warnings) > 0 {
		parts = append(parts, counted(len(r.Warnings), "warning"))
	}
	b.WriteString(strings.Join(parts, ", ") + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// findingLine returns a finding as file:line:column: message: hint.
func findingLine(f files.Finding, kind string) string {
	where := f.File
	for _, n := range []int{f.Line, f.Column} {
		if n == 0 {
			break
		}
		where += fmt.Sprintf(":%d", n)
	}
	line := where + ": " + kind + f.Message
	if f.Hint != "" {
		line += ": " + f.Hint
	}
	return oneLine(line) + "\n"
}
