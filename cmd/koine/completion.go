package main

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/client"
)

// completionTimeout bounds how long a shell waits for names from the server.
const completionTimeout = time.Second

// dashed annotates the root with the position of "--" on its command line.
const dashed = "koine_dashed"

// nameSource returns names that a server knows; args are the arguments before the word to complete.
type nameSource func(ctx context.Context, c *client.Client, args []string) []string

// addCompletion adds cobra's command, and makes it refuse an unknown shell.
func addCompletion(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Short = "generate shell completion"
		cmd.Example = "  source <(koine completion bash)                                   for this shell\n" +
			"  koine completion bash > /etc/bash_completion.d/koine              for all, as root\n" +
			"  koine completion zsh > \"${fpath[1]}/_koine\"\n" +
			"  koine completion fish > ~/.config/fish/completions/koine.fish"
		cmd.Args = knownCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		cmd.DisableFlagsInUseLine, cmd.SuggestionsMinimumDistance = true, 2
	}
}

// completeArgs completes the arguments of a command, the first by the first source and so on. After "--" the user's own
// command follows, which is left to the shell's own completion. Without an answer from the server nothing is completed.
func completeArgs(sources ...nameSource) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if cmd.Root().Annotations[dashed] != "" { // ArgsLenAtDash counts a dash that cobra has appended
			return nil, cobra.ShellCompDirectiveDefault
		}
		if len(args) >= len(sources) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return ask(cmd, args, sources[len(args)])
	}
}

// completeFlag completes the values of a flag.
func completeFlag(cmd *cobra.Command, name string, names nameSource) {
	must(cmd.RegisterFlagCompletionFunc(name,
		func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return ask(cmd, args, names)
		}))
}

// must is for errors that only a mistake in this program can cause, such as a flag that a command does not have.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// ask returns the names of a source that can be typed as they are.
func ask(cmd *cobra.Command, args []string, names nameSource) ([]cobra.Completion, cobra.ShellCompDirective) {
	if applySettings(cmd) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := newClient(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	list := slices.DeleteFunc(names(ctx, c, args), func(name string) bool { return !typeable(name) })
	slices.Sort(list)
	return slices.Compact(list), cobra.ShellCompDirectiveNoFileComp
}

// typeable reports whether a name needs no quotes in a shell. Others are not completed: an id may hold a command that
// the shell would run. Nor are those that read as a flag.
func typeable(name string) bool {
	return name != "" && name[0] != '-' && !strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-:@%+,=/[]", r)
	})
}

// words is a source of words that are always the same.
func words(list ...string) nameSource {
	return func(context.Context, *client.Client, []string) []string { return slices.Clone(list) }
}

// anyOf is a source of the words of several sources.
func anyOf(sources ...nameSource) nameSource {
	return func(ctx context.Context, c *client.Client, args []string) (names []string) {
		for _, s := range sources {
			names = append(names, s(ctx, c, args)...)
		}
		return names
	}
}

// eachOf returns a text of each element.
func eachOf[T any](list []T, text func(T) string) (texts []string) {
	for _, element := range list {
		texts = append(texts, text(element))
	}
	return texts
}

func serviceNames(ctx context.Context, c *client.Client, _ []string) []string {
	list, _ := c.Services(ctx)
	return eachOf(list.Services, func(s client.ServiceSummary) string { return s.Name })
}

// tagNames returns the tags of the service on the command line, or else of all.
func tagNames(ctx context.Context, c *client.Client, args []string) (tags []string) {
	list, _ := c.Services(ctx)
	for _, s := range list.Services {
		if len(args) == 0 || strings.EqualFold(s.Name, args[0]) {
			tags = append(tags, s.Tags...)
		}
	}
	return tags
}

func instanceIDs(ctx context.Context, c *client.Client, _ []string) []string {
	list, _ := c.Instances(ctx, client.InstanceFilter{})
	return eachOf(list.Instances, func(i client.Instance) string { return i.ID })
}

func sourceNames(ctx context.Context, c *client.Client, _ []string) []string {
	list, _ := c.Instances(ctx, client.InstanceFilter{})
	return eachOf(list.Instances, func(i client.Instance) string { return i.Source })
}

func checkIDs(ctx context.Context, c *client.Client, _ []string) []string {
	list, _ := c.Checks(ctx, client.CheckFilter{})
	return eachOf(list.Checks, func(check client.CheckStatus) string { return check.ID })
}

func drainedNames(ctx context.Context, c *client.Client, _ []string) []string {
	list, _ := c.Drains(ctx)
	return eachOf(slices.Concat(list.Drains, list.Instances), func(d catalog.Drain) string {
		_, name := targetOf(d)
		return name
	})
}

// ofNodes is a source of a text of each node.
func ofNodes(text func(client.NodeSummary) string) nameSource {
	return func(ctx context.Context, c *client.Client, _ []string) []string {
		list, _ := c.Nodes(ctx)
		return eachOf(list.Nodes, text)
	}
}

func nodeNames(ctx context.Context, c *client.Client, args []string) []string {
	return ofNodes(func(n client.NodeSummary) string { return n.Name })(ctx, c, args)
}

func zoneNames(ctx context.Context, c *client.Client, args []string) []string {
	return ofNodes(func(n client.NodeSummary) string { return n.Locality.Zone })(ctx, c, args)
}

func regionNames(ctx context.Context, c *client.Client, args []string) []string {
	return ofNodes(func(n client.NodeSummary) string { return n.Locality.Region })(ctx, c, args)
}

// nearNames returns the values that --near accepts.
func nearNames(ctx context.Context, c *client.Client, args []string) []string {
	places := ofNodes(func(n client.NodeSummary) string { return strings.TrimPrefix(zone(n.Locality), "-") })
	return anyOf(nodeNames, instanceIDs, places, words("_self"))(ctx, c, args)
}
