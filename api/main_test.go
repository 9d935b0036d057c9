package api

import (
	"testing"

	"github.com/koine-sd/koine/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
