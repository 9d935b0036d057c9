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
	"go.yaml.in/yaml/v4"

	"github.com/koine-sd/koine/catalog"
	"github.com/koine-sd/koine/internal/spelling"
)

// settingMark annotates the flags that are settings: those of the commands that run Koine, and --http of all others.
// Only these have an environment variable and a key in the configuration file. Other flags belong to one command line:
// an exported KOINE_NODE or KOINE_UNDO must not change the effect of koine register or koine drain.
const settingMark = "koine_setting"

// markSettings makes settings of flags.
func markSettings(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Annotations == nil {
			f.Annotations = make(map[string][]string)
		}
		f.Annotations[settingMark] = []string{"true"}
	})
}

func isSetting(f *pflag.Flag) bool { return f.Annotations[settingMark] != nil }

// applySettings gives every setting that was not set on the command line its value from the environment, and failing
// that from the configuration file: --data-dir is KOINE_DATA_DIR and data_dir.
func applySettings(cmd *cobra.Command) error {
	file, err := readSettings(cmd)
	if err != nil {
		return err
	}
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || failed != nil || !isSetting(f) {
			return
		}
		value, found := os.LookupEnv(envName(f.Name))
		from := envName(f.Name)
		if !found {
			var s setting
			s, found = file[keyName(f.Name)]
			value, from = s.value, s.from
		}
		if found {
			failed = plainSettingError(from, cmd.Flags().Set(f.Name, value))
		}
	})
	return failed
}

// plainSettingError names the origin of a value, instead of the flag that was not given.
func plainSettingError(from string, err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return badValue(from, invalid)
	}
	return err
}

// misspelt returns a warning for each environment variable that is close to a setting of the command but is not one.
func misspelt(cmd *cobra.Command, environment []string) (warnings []string) {
	own := []string{"CONFIG"}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if isSetting(f) {
			own = append(own, strings.ToUpper(keyName(f.Name)))
		}
	})
	all := append(knownKeys(cmd.Root()), "config")
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		key, ours := strings.CutPrefix(name, envPrefix)
		if !ours || slices.Contains(all, strings.ToLower(key)) {
			continue
		}
		if like := spelling.Closest(key, own); like != "" {
			warnings = append(warnings, fmt.Sprintf("%s is not a setting: did you mean %s%s?", name, envPrefix, like))
		}
	}
	slices.Sort(warnings)
	return warnings
}

// envPrefix begins the name of every environment variable that is a setting.
const envPrefix = "KOINE_"

func envName(flag string) string { return envPrefix + strings.ToUpper(keyName(flag)) }

func keyName(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// setting is one value of the configuration file.
type setting struct {
	value string // in the form of the command line
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

// parseSettings decodes a configuration file. A key that is no setting of any command is an error, because a misspelt
// setting without effect would be worse.
func parseSettings(path string, raw []byte, known []string) (map[string]setting, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(raw, &document); err != nil {
		return nil, badConfig(path, err)
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
			return nil, noSetting(fmt.Sprintf("config %s:%d", path, key.Line), key.Value, known)
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

// noSetting is the error for an unknown key. It names the setting that was probably meant, or else all.
func noSetting(from, key string, known []string) error {
	err := catalog.Errorf(catalog.KindInvalid, "%s: no setting %q", from, key)
	if like := spelling.Closest(key, known); like != "" {
		return err.WithHint("did you mean %s?", like)
	}
	return err.WithHint("settings are %s", strings.Join(known, ", "))
}

// badConfig describes where a configuration file is not YAML.
func badConfig(path string, err error) error {
	if known, ok := errors.AsType[*yaml.LoadError](err); ok && known.Mark.Line > 0 {
		return fmt.Errorf("config %s:%d:%d: %s", path, known.Mark.Line, known.Mark.Column, known.Message)
	}
	return fmt.Errorf("config %s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
}

// settingText returns a YAML value in the form of the command line.
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

// knownKeys returns the configuration keys of all commands' settings.
func knownKeys(root *cobra.Command) []string {
	var keys []string
	add := func(f *pflag.Flag) {
		if key := keyName(f.Name); isSetting(f) && !slices.Contains(keys, key) {
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
