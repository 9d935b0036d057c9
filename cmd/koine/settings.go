package main

import (
	"errors"
	"fmt"
	"io"
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
		if f.Changed || failed != nil || notSetting[f.Name] {
			return
		}
		value, found := os.LookupEnv(envName(f.Name))
		from := envName(f.Name)
		if !found {
			var s setting
			s, found = file[keyName(f.Name)]
			value, from = s.value, s.from
		}
		if !found {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			failed = fmt.Errorf("%s: %w", from, plainFlagError(err))
		}
	})
	return failed
}

// plainFlagError returns what is wrong with a value, without the flag that it was not given by.
func plainFlagError(err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return fmt.Errorf("%q: %w", invalid.GetValue(), invalid.Unwrap())
	}
	return err
}

// notSetting are the flags that only a command line can have.
var notSetting = map[string]bool{"help": true, "version": true, "config": true}

func envName(flag string) string { return "KOINE_" + strings.ToUpper(keyName(flag)) }

func keyName(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// setting is one value of the configuration file.
type setting struct {
	value string // as it would stand on the command line
	from  string // file and line
}

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 1 << 20

// readSettings reads the configuration file, if one is named.
func readSettings(cmd *cobra.Command) (map[string]setting, error) {
	path, _ := cmd.Flags().GetString("config")
	if path == "" {
		path = os.Getenv(envName("config"))
	}
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	if len(raw) > maxConfig {
		return nil, fmt.Errorf("config %s has more than %d bytes", path, maxConfig)
	}
	return parseSettings(path, raw, knownKeys(cmd.Root()))
}

// parseSettings decodes a configuration file. A key that is no flag of any command is an error: a misspelled setting that
// does nothing is worse.
func parseSettings(path string, raw []byte, known []string) (map[string]setting, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(raw, &document); err != nil {
		return nil, fmt.Errorf("config %s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	top := document.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("config %s:%d: not a mapping: write settings as data_dir: /var/lib/koine", path, top.Line)
	}
	settings := make(map[string]setting, len(top.Content)/2)
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		from := fmt.Sprintf("config %s:%d: %s", path, key.Line, key.Value)
		if !slices.Contains(known, key.Value) {
			return nil, fmt.Errorf("config %s:%d: no setting %q: settings are %s", path, key.Line, key.Value,
				strings.Join(known, ", "))
		}
		if _, twice := settings[key.Value]; twice {
			return nil, fmt.Errorf("%s is given twice", from)
		}
		text, err := settingText(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		settings[key.Value] = setting{text, from}
	}
	return settings, nil
}

// settingText returns a YAML value as it would stand on the command line.
func settingText(value *yaml.Node) (string, error) {
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag != "!!null":
		return value.Value, nil
	case value.Kind == yaml.SequenceNode:
		parts := make([]string, len(value.Content))
		for i, part := range value.Content {
			if part.Kind != yaml.ScalarNode {
				return "", errors.New("must be a list of plain values")
			}
			parts[i] = part.Value
		}
		return strings.Join(parts, ","), nil
	default:
		return "", errors.New("must be one value or a list of them")
	}
}

// knownKeys returns the configuration keys of all commands' flags.
func knownKeys(root *cobra.Command) []string {
	var keys []string
	add := func(f *pflag.Flag) {
		if key := keyName(f.Name); !notSetting[f.Name] && !slices.Contains(keys, key) {
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
