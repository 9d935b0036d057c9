# Koine's tasks. Each installs what it needs, and says so.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMITTED := $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commitDate=$(COMMITTED)
TOOLS    := $(CURDIR)/bin/tools
GOLANGCI := $(TOOLS)/golangci-lint-v2.15.0
FUZZTIME ?= 30s
export CGO_ENABLED := 0

.PHONY: all build bin/demo run test lint check cover vuln fuzz bench microbench image clean

all: build

## build: the one static binary, bin/koine
build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/koine ./cmd/koine

bin/demo:
	$(GO) build -trimpath -ldflags '-s -w' -o $@ ./test/demo

## run: build, and show koine dev with a demo; needs nothing but Go; HTTP=host:port and DNS=host:port choose where it listens
run:
	@MAKE='$(MAKE)' HTTP='$(HTTP)' DNS='$(DNS)' scripts/run

## test: everything, with the race detector, on a real Docker engine
test:
	@scripts/test

## lint: formatting, the chosen linters, and the words to avoid
lint: $(GOLANGCI)
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these"; exit 1; }
	$(GO) vet ./...
	$(GOLANGCI) run ./...
	$(GO) test ./test/words

$(GOLANGCI):
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv $(TOOLS)/golangci-lint $@

## cover: the coverage of the packages that hold the rules
cover:
	scripts/cover 85 catalog registry health dns

## check: what CI runs
check: lint test cover vuln

## vuln: known vulnerabilities, where the database can be reached
vuln:
	scripts/vuln

## fuzz: every decoder of outside bytes, FUZZTIME each
fuzz:
	scripts/fuzz $(FUZZTIME)

## bench: Koine against its peers, in one table; BENCH takes the flags of ./bench
bench: build
	@scripts/install-tools dnsperf wrk
	$(GO) run ./bench $(BENCH)

## microbench: the benchmarks of single packages
microbench:
	$(GO) test -run '^$$' -bench . -benchmem ./catalog ./dns ./api ./registry

## image: the container image, FROM scratch
image: build
	docker build -t koine:$(VERSION) -t koine:latest .

clean:
	rm -rf bin
