# relocate: "make demo" shows the program at work, "make test" tests it. Only Go is needed.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  = -s -w -X main.version=$(VERSION)
GO      ?= go

# Go's ./... leaves out what is below testdata.
PACKAGES  = ./... ./testdata/sample ./testdata/demo ./testdata/interop ./testdata/realregistry ./testdata/judges ./testdata/load ./testdata/bench ./testdata/generated ./testdata/measured ./testdata/webserver ./testdata/hostileregistry ./testdata/realkbld
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

# Many tests wait, for a registry or for a program that they kill: more run at once than there are cores.
# The timeout is of one package, on a busy machine.
CORES   := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
PARALLEL = -parallel $(shell expr 4 \* $(CORES)) -timeout 40m

JUDGE = CGO_ENABLED=0 GOWORK=off $(GO) build -o $(CURDIR)/bin/judges

# How long "make fuzz" runs each target: a time, or a number of inputs as in 500x.
FUZZTIME ?= 20s

# Which benchmarks "make bench" runs, as go test -bench takes it.
BENCH ?= .

.PHONY: build judges demo test check cross vulncheck fuzz soak bench bench-crossing release docs

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/relocate ./cmd/relocate

# judges builds the real programs that tests compare ours with, where RELOCATE_TEST_JUDGES names bin/judges.
# It takes minutes the first time.
judges:
	cd testdata/ytt && $(JUDGE)/ytt -ldflags '-s -w -X carvel.dev/ytt/pkg/version.Version=0.51.1' carvel.dev/ytt/cmd/ytt
	cd testdata/oracle && $(JUDGE)/kbld -ldflags '-s -w -X carvel.dev/kbld/pkg/kbld/version.Version=0.44.0' carvel.dev/kbld/cmd/kbld
	cd testdata/helm && $(JUDGE)/helm -ldflags '-s -w' helm.sh/helm/v3/cmd/helm

demo: build
	$(GO) run ./testdata/demo -relocate bin/relocate

test:
	$(GO) test $(PARALLEL) $(PACKAGES)

check: vulncheck
	$(MAKE) cross PLATFORMS='darwin/arm64 windows/amd64' # with the tests' own, each system and each architecture once
	@out=$$(gofmt -l .); test -z "$$out" || { echo "gofmt wants changes in:"; echo "$$out"; exit 1; }
	$(GO) vet $(PACKAGES)
	cd testdata/registry && $(GO) vet ./...
	cd testdata/oracle && $(GO) vet ./...
	$(GO) tool -modfile=.ci/tools.mod staticcheck $(PACKAGES)
	$(GO) tool -modfile=.ci/tools.mod errcheck -ignoretests -exclude .ci/errcheck.txt ./...
	$(GO) test -race -short $(PARALLEL) $(PACKAGES)

# cross builds the program for every platform it is for.
cross:
	@for p in $(PLATFORMS); do \
		echo "build $$p"; \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -o /dev/null ./cmd/relocate || exit 1; \
	done

# vulncheck looks for known vulnerabilities, where it can reach their database; it says so if not.
vulncheck:
	@GO='$(GO)' .ci/vulncheck $(PACKAGES)

# fuzz runs every fuzz target, one after the other. What fails is kept as a seed below the package's
# testdata/fuzz, which go test reads.
fuzz:
	@for p in $$($(GO) list ./...); do \
		list=$$($(GO) test -list '^Fuzz' $$p) || { echo "$$list"; exit 1; }; \
		for t in $$(echo "$$list" | grep '^Fuzz'); do \
			echo "$$p $$t"; \
			$(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

# soak takes hours: tests that do something at random places or times do it far more often when
# RELOCATE_TEST_SOAK is 1, the one switch for large counts.
soak:
	RELOCATE_TEST_SOAK=1 $(GO) test -count 1 -timeout 12h $(PACKAGES)
	$(MAKE) fuzz FUZZTIME=10m

# bench runs the quick benchmarks, of every verb among them; without -short, also those that compare n with 2n.
bench:
	$(GO) test -short -run '^$$' -bench '$(BENCH)' -benchmem $(PACKAGES)

# bench-crossing times whole crossings over real registries: an hour, and 15 GB below TMPDIR. BENCHFLAGS may
# name another tool, as in BENCHFLAGS='-against imgpkg=/usr/bin/imgpkg'; see go run ./testdata/bench -h.
bench-crossing: build
	$(GO) run ./testdata/bench -relocate bin/relocate $(BENCHFLAGS)

# release builds the files of a release in DIST, an empty folder: docs/release.md. RELEASE_KEY names the key
# that signs them.
DIST ?= dist
release:
	$(GO) run ./release -version '$(VERSION)' -date "$$(git log -1 --format=%ct 2>/dev/null || echo 0)" -platforms '$(PLATFORMS)' -out '$(DIST)' -key '$(RELEASE_KEY)'

# docs writes docs/commands.md from the program's help, the output of the commands in the console blocks of
# README.md and docs, and the schema and the keys of crossing files. Tests fail when these differ from the program.
docs:
	$(GO) test ./crossing -run '^TestDocs$$' -update
	$(GO) test ./cmd/relocate -run '^(TestCommandsFile|TestDocumentedSamples)$$' -update
