package daemon

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestShareDescriptors(t *testing.T) {
	for limit, want := range map[int]shares{
		0:               {64, 16, 16, 4, 4, 4},
		64:              {64, 16, 16, 4, 4, 4},
		120:             {64, 16, 16, 28, 14, 14},
		1024:            {256, 64, 64, 384, 192, 192},
		4096:            {1024, 256, 256, 1536, 768, 768},
		65536:           {8192, 512, 2048, 55296, 1024, 1024},
		mostDescriptors: {8192, 512, 2048, 1038336, 1024, 1024},
	} {
		if got := shareDescriptors(limit); got != want {
			t.Errorf("of %d: %+v, want %+v", limit, got, want)
		}
	}
	for limit := 80; limit < 70_000; limit++ {
		if s := shareDescriptors(limit); s.reserved+s.http+s.dns+s.forwards > limit || s.checks+s.processes > s.reserved/2 {
			t.Fatalf("of %d: %+v is more", limit, s)
		}
	}
	if descriptorLimit() < 100 {
		t.Errorf("this process may have %d files open", descriptorLimit())
	}
}

// TestSharesInTheDocuments holds that the documents have the numbers of the code.
func TestSharesInTheDocuments(t *testing.T) {
	most := shareDescriptors(mostDescriptors)
	told := map[string][]string{
		"../docs/run-koine.md": {fmt.Sprintf("at least %d, at most %d.", leastReserved, most.reserved),
			fmt.Sprintf("(%d at most each)", most.dns)},
		"../docs/adr/0003-watch-container-processes.md": {fmt.Sprintf("up to %d;", most.processes)},
	}
	for _, files := range []int{120, 1024, 65536} {
		s := shareDescriptors(files)
		row := fmt.Sprintf("| %d | %d | %d | %d | %d | %d |", files, s.reserved, s.checks, s.dns, s.forwards, s.http)
		told["../docs/run-koine.md"] = append(told["../docs/run-koine.md"], row)
	}
	for path, texts := range told {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if !strings.Contains(string(page), text) {
				t.Errorf("%s does not say %q", path, text)
			}
		}
	}
}
