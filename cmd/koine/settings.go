package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// applySettings gives every flag that was not set on the command line its value from the environment, and failing that
// from the configuration file: --data-dir is KOINE_DATA_DIR and data_dir.
func applySettings(cmd *cobra.Command, _ []string) error {
	file, err := readSettings(cmd)
	if err != nil {
		return err
	}
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		key := strings.ReplaceAll(f.Name, "-", "_")
		value, found := os.LookupEnv(envName(f.Name))
		from := envName(f.Name)
		if !found {
			value, found = file[key]
			from = "config key " + key
		}
		if f.Changed || !found || failed != nil {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			failed = fmt.Errorf("%s: %w", from, err)
		}
	})
	return failed
}

func envName(flag string) string {
	return "KOINE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// readSettings reads the configuration file, if one is named. A key that is no flag of any command is an error: a
// misspelled setting that does nothing is worse.
func readSettings(cmd *cobra.Command) (map[string]string, error) {
	path, _ := cmd.Flags().GetString("config")
	if path == "" {
		path = os.Getenv(envName("config"))
	}
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	var content map[string]any
	if err := yaml.Unmarshal(raw, &content); err != nil {
		return nil, fmt.Errorf("config %s: %w", path, err)
	}
	known := knownKeys(cmd.Root())
	settings := make(map[string]string, len(content))
	for key, value := range content {
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("config %s: no setting %q: settings are %s", path, key, strings.Join(known, ", "))
		}
		settings[key] = settingText(value)
	}
	return settings, nil
}

// settingText returns a YAML value as it would stand on the command line.
func settingText(value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	parts := make([]string, len(list))
	for i, part := range list {
		parts[i] = fmt.Sprint(part)
	}
	return strings.Join(parts, ",")
}

// knownKeys returns the configuration keys of all commands' flags.
func knownKeys(root *cobra.Command) []string {
	var keys []string
	add := func(f *pflag.Flag) {
		key := strings.ReplaceAll(f.Name, "-", "_")
		if !slices.Contains(keys, key) && key != "help" && key != "config" {
			keys = append(keys, key)
		}
	}
	root.PersistentFlags().VisitAll(add)
	for _, command := range root.Commands() {
		command.Flags().VisitAll(add)
	}
	slices.Sort(keys)
	return keys
}
