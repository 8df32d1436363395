# proa: `make test` is everything a change must pass; `make lint` is what reviewers need not say.
GO       ?= go
BIN      := bin/proa
TARGETS  := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
PACKAGES := $(shell $(GO) list ./... 2>/dev/null | grep -v /test/)
# Prints go test's own lines, then every skipped test with its reason.
TESTSUM  := $(GO) tool -modfile=tools/go.mod gotestsum

.PHONY: build test test-large-object unit e2e lint vet fmt bench-system bench-console bench-detect bench-dns bench-objects soak-dns fuzz peers sim sim-bugs sim-reach sim-traffic screenshots clean

build: ## build the binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o $(BIN) ./cmd/proa

test: unit e2e ## all tests: packages with the race detector, then the journey against the built binary

unit: ## every package with the race detector
	@mkdir -p bin
	@[ "$$PROA_PEERS" = 1 ] || echo 'peers: not installed, so their tests are skipped and listed below; eval "$$(test/peers.sh)" installs them'
	$(TESTSUM) --format standard-quiet --jsonfile bin/unit.json -- -race -timeout 20m $(PACKAGES)

e2e: build ## the end-to-end journey against the plain built binary
	PROA_BIN=$(CURDIR)/$(BIN) $(TESTSUM) --format standard-verbose --jsonfile bin/e2e.json -- -count=1 -timeout 15m ./test/...

test-large-object: build ## 5 GiB to Azure through a throttled pipe, with the node killed in the middle; needs 15 GiB of disk
	PROA_BIN=$(CURDIR)/$(BIN) PROA_LARGE_MIB=5120 $(GO) test ./test/objects -run LargeObject -count=1 -v -timeout 1h

peers: ## differential tests against the vendors' emulators and SDKs; installs them
	eval "$$(./test/peers.sh)" && $(GO) test -count=1 ./aws/... ./azure/... ./traffic/... && $(MAKE) e2e

lint: ## golangci-lint, gofumpt and govulncheck, as pinned in tools/go.mod
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...

vet: ## go vet for the four targets
	@for t in $(TARGETS); do echo "vet $$t"; GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 $(GO) vet ./... || exit 1; done

bench-system: build ## start-up, memory, lag, catch-up and failover of the built binary
	PROA_BIN=$(CURDIR)/$(BIN) $(GO) test ./test/journey -run '^$$' -bench . -benchtime 1x

bench-detect: build ## fault until the answers flip: make bench-detect TRIALS=100
	PROA_BIN=$(CURDIR)/$(BIN) $(GO) test ./test/detect -run '^$$' -bench Detect -benchtime 1x -timeout 4h

bench-console: build ## the console's page at 5,000 requests a second, in Chromium
	PROA_PEERS=1 $(GO) test ./test/console -run '^$$' -bench Page -benchtime 3x

screenshots: build ## docs/screens, from a running system in Chromium
	PROA_PEERS=1 PROA_SCREENS=$(CURDIR)/docs/screens PROA_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 ./test/console -run Screenshots

bench-objects: ## objects beside the endpoints' ceiling and rclone bisync
	cd bench/rclone && $(GO) build -trimpath -o $(CURDIR)/bin/rclone .
	RCLONE=$(CURDIR)/bin/rclone $(GO) test ./bench/objects -run '^$$' -bench . -benchtime 1x -timeout 30m

bench-dns: ## the name server beside gdnsd and NSD (Debian packages)
	$(GO) test ./bench/dns -run '^$$' -bench . -benchtime 1x -timeout 30m

soak-dns: ## 10,000,000 malformed datagrams at the live socket
	PROA_DNS_SOAK=10000000 $(GO) test ./traffic/dns -run Malformed -count=1 -timeout 2h -v

FUZZTIME ?= 5000x
FUZZ     := traffic/dns:FuzzDecode traffic/dns:FuzzHeaderGuard traffic/dns:FuzzParseZone traffic/dns:FuzzHandler traffic/dns:FuzzRespond \
            traffic/cluster:FuzzReadFrame traffic/cluster:FuzzPeer

fuzz: ## what comes from the network: FUZZTIME=5000x inputs each, or 60s
	@for f in $(FUZZ); do $(GO) test ./$${f%:*} -run '^$$' -fuzz "^$${f#*:}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x || exit 1; done

fmt: ## format as CI wants it
	$(GO) tool -modfile=tools/go.mod golangci-lint fmt ./...

SEEDS    ?= 100000
FIRST    ?= 1

sim: ## histories of the simulator: SEEDS=100000 [FIRST=1] [FAILURES=10] [BUG="..."], or the one of SEED=
	$(GO) run ./sim/run -seeds $(SEEDS) -first $(FIRST) $(if $(FAILURES),-failures $(FAILURES)) $(if $(SEED),-seed $(SEED)) $(if $(BUG),-bug "$(BUG)")

sim-bugs: ## each planted bug must be found within SEEDS histories
	$(GO) run ./sim/run -bugs -seeds $(SEEDS) -first $(FIRST)

sim-reach: ## each named situation must come up 1,000 times in 1,000,000 histories
	$(GO) run ./sim/run -seeds 1000000 -first $(FIRST) -reach 1000

sim-traffic: ## schedules of the traffic controller's simulator: SEEDS=, FIRST=, SEED=, BUG= as for sim
	$(GO) run ./sim/traffic/run -seeds $(SEEDS) -first $(FIRST) $(if $(SEED),-seed $(SEED)) $(if $(BUG),-bug "$(BUG)")

clean:
	rm -rf bin
