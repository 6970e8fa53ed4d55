# relocate: "make demo" shows the program at work, "make test" tests it. Only Go is needed.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  = -s -w -X main.version=$(VERSION)
GO      ?= go

# Go's ./... leaves out what is below testdata.
PACKAGES  = ./... ./testdata/sample ./testdata/demo ./testdata/interop ./testdata/realregistry ./testdata/load ./testdata/hostileregistry
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: build demo test check cross bench

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/relocate ./cmd/relocate

demo: build
	$(GO) run ./testdata/demo -relocate bin/relocate

test:
	$(GO) test $(PACKAGES)

check: cross
	@out=$$(gofmt -l .); test -z "$$out" || { echo "gofmt wants changes in:"; echo "$$out"; exit 1; }
	$(GO) vet $(PACKAGES)
	cd testdata/registry && $(GO) vet ./...
	$(GO) tool -modfile=.ci/tools.mod staticcheck $(PACKAGES)
	$(GO) tool -modfile=.ci/tools.mod errcheck -ignoretests -exclude .ci/errcheck.txt ./...
	$(GO) test -race $(PACKAGES)

# cross builds the program for every platform it is for.
cross:
	@for p in $(PLATFORMS); do \
		echo "build $$p"; \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -o /dev/null ./cmd/relocate || exit 1; \
	done

bench:
	$(GO) test -run '^$$' -bench . -benchmem $(PACKAGES)
