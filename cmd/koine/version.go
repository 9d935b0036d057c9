package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
)

// build is the version of this binary, and of the server that --http names if it answers.
type build struct {
	Version    string       `json:"version"`
	CommitDate string       `json:"commit_date,omitempty"`
	Go         string       `json:"go"`
	Platform   string       `json:"platform"`
	Server     *serverBuild `json:"server,omitempty"`
}

type serverBuild struct {
	Version string `json:"version"`
	Node    string `json:"node,omitempty"`
}

// serverTimeout bounds how long koine version waits for a server.
const serverTimeout = time.Second

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", GroupID: groupOther,
		Short:   "print the version of this binary, and of the server",
		Example: "  koine version\n  koine version -o json | jq -r .version",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := thisBuild(debug.ReadBuildInfo())
			b.Server = theServer(cmd)
			if wantsJSON(cmd) {
				return printJSON(cmd, b)
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), b.text())
			return err
		},
	}
	addOutput(cmd)
	return cmd
}

func thisBuild(info *debug.BuildInfo, known bool) build {
	b := build{Version: version, CommitDate: commitDate, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if !known {
		return b
	}
	if b.Version == unversioned && info.Main.Version != "" && info.Main.Version != "(devel)" { // go install
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" && b.CommitDate == "" {
			b.CommitDate = s.Value
		}
	}
	return b
}

// theServer returns nil if no server answers: that is no fault of this binary.
func theServer(cmd *cobra.Command) *serverBuild {
	c, err := newClient(cmd)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), serverTimeout)
	defer cancel()
	state, err := c.State(ctx)
	if err != nil {
		return nil
	}
	return &serverBuild{Version: state.Version, Node: state.Node}
}

func (b *build) text() string {
	var p paragraph
	fmt.Fprintf(&p, "koine %s\n", b.Version)
	if b.CommitDate != "" {
		p.line("commit", "of %s", b.CommitDate)
	}
	p.line("built with", "%s for %s", b.Go, b.Platform)
	if b.Server != nil {
		p.line("server", "%s on node %s", b.Server.Version, b.Server.Node)
	}
	return p.String()
}
