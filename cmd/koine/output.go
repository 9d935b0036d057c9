package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

func addOutput(cmd *cobra.Command) {
	addChoice(cmd, newChoice("text", "json"), "output", "o", "text or json")
}

func wantsJSON(cmd *cobra.Command) bool {
	flag := cmd.Flags().Lookup("output")
	return flag != nil && flag.Value.String() == "json"
}

func printJSON(cmd *cobra.Command, value any) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// say writes a line for people to standard error.
func say(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.ErrOrStderr(), "koine: %s\n", oneLine(fmt.Sprintf(format, args...)))
}

// report writes why a command failed: to standard error, and with -o json to standard output in the form of the API's
// errors, so that a program always finds JSON there.
func report(cmd *cobra.Command, args []string, err error) {
	if wantsJSON(cmd) || cmd.Flags().Lookup("output") != nil && asksForJSON(args) {
		_ = json.NewEncoder(cmd.OutOrStdout()).Encode(errorBody(err)) // a closed output has no reader
	}
	for _, line := range each(err) {
		say(cmd, "%v", line)
	}
}

// asksForJSON looks for -o json on a command line whose parsing ended early, because of a mistake before it.
func asksForJSON(args []string) bool {
	for i, arg := range args {
		switch arg {
		case "--":
			return false
		case "-ojson", "-o=json", "--output=json":
			return true
		case "-o", "--output":
			return i+1 < len(args) && args[i+1] == "json"
		}
	}
	return false
}

// each returns the errors that were joined into one, and those that were joined into these.
func each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	for _, part := range joined.Unwrap() {
		list = append(list, each(part)...)
	}
	return list
}

func errorBody(err error) client.ErrorBody {
	detail := client.ErrorDetail{Code: catalog.KindOf(err).String(), Message: err.Error()}
	if known, ok := errors.AsType[*catalog.Error](err); ok && known.Error() == err.Error() {
		detail.Message, detail.Hint = known.Message, known.Hint
	}
	return client.ErrorBody{Error: detail}
}

// table prints rows under a heading, in columns. Without rows it says so on standard error, so that a lone heading is
// not mistaken for a fault.
func table(cmd *cobra.Command, heading string, rows [][]string, empty string) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(heading, " ", "\t"))
	for _, row := range rows {
		printRow(w, row)
	}
	if len(rows) == 0 {
		say(cmd, "%s", empty)
	}
	return w.Flush()
}

func printRow(w io.Writer, row []string) {
	for i, cell := range row {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, oneLine(cell))
	}
	fmt.Fprintln(w)
}

// joined returns a list for a table's cell.
func joined(list []string) string {
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ",")
}

// firstLine returns the first line of a text, cut to fit into a table.
func firstLine(text string) string {
	const longest = 60
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if letters := []rune(line); len(letters) > longest {
		return string(letters[:longest]) + "…"
	}
	return line
}

// counted returns a number with its noun, in the plural if needed.
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// Times are local, and end with the offset from UTC: Z, or +02:00.
const (
	timeLayout  = "2006-01-02 15:04:05Z07:00"
	stampLayout = "2006-01-02 15:04:05.000Z07:00"
	clockLayout = "15:04:05Z07:00"
)

func localTime(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Local().Format(timeLayout)
}

// stamp writes the time of an event.
func stamp(at time.Time) string { return at.Local().Format(stampLayout) }

// clock writes a time of today.
func clock(at time.Time) string { return at.Local().Format(clockLayout) }

// printWritten prints the revision at which a write is visible.
func printWritten(cmd *cobra.Command, revision uint64, err error) error {
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printJSON(cmd, client.Written{Revision: revision})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "revision %d\n", revision)
	return err
}
