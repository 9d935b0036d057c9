package test

import (
	"testing"

	"github.com/koine-sd/koine/internal/dockertest"
)

func TestMain(m *testing.M) { dockertest.Main(m) }
