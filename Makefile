# flow-sensor and flow-collector. `make help` lists what there is to make.
SHELL := /bin/sh
.DEFAULT_GOAL := help

VERSION ?= 0.1.0
LDFLAGS := -s -w -X flowsensor/internal/build.version=$(VERSION)
TOOL := go tool -modfile=internal/tools/go.mod
NEED := packaging/build/need
FUZZTIME ?= 30s
# What the tests and the demonstration use beside Go: program:package, or a file's path:package.
TEST_NEEDS := gcc:gcc ip:iproute2 tc:iproute2 ethtool:ethtool tcpdump:tcpdump tshark:tshark fstrm_replay:fstrm-bin influxd:influxdb influx:influxdb-client systemd-analyze:systemd \
	tcpreplay:tcpreplay taskset:util-linux /usr/lib/python3/dist-packages/cryptography:python3-cryptography
PACKAGE_NEEDS := mmdebstrap:mmdebstrap systemd-nspawn:systemd-container lintian:lintian rpmlint:rpmlint readelf:binutils nsenter:util-linux pgrep:procps \
	qemu-aarch64-static:qemu-user-static
PEER_NEEDS := tcpreplay:tcpreplay softflowd:softflowd softflowctl:softflowd pmacctd:pmacct nfpcapd:nfdump argus:argus-server \
	racount:argus-client taskset:util-linux nsenter:util-linux
DEMO_NEEDS := gcc:gcc ip:iproute2 tc:iproute2 ethtool:ethtool tcpdump:tcpdump

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build both programs into bin/
	@$(NEED) gcc:gcc
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/flow-sensor ./sensor
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/flow-collector ./collector

.PHONY: test
test: build ## run every test, then all of them again under the race detector; root runs the privileged ones too
	@$(NEED) --optional $(TEST_NEEDS)
	@[ "$$(id -u)" -eq 0 ] || echo "not root: tests that make network namespaces or capture are skipped; run them with sudo make test"
	go test -count=1 -timeout 20m ./...
	go test -count=1 -timeout 20m -race -short ./...

.PHONY: lint
lint: ## check form, imports, module files and linters
	go mod tidy -diff
	go vet ./...
	$(TOOL) golangci-lint config verify
	$(TOOL) golangci-lint run ./...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@set -e; go list -f '{{.Dir}}' ./... | while read -r dir; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$dir"/*_test.go 2>/dev/null); do \
			echo "== $$dir $$target"; (cd "$$dir" && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x .); \
		done; done

.PHONY: bench
bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem -short ./...

# What is profiled for each program: benchmarks of the real work, by package. The profiles are part of the sources, and go build
# takes them by itself; renew them when the hot path has changed.
PGO_SENSOR := BenchmarkWorkers:./internal/capture BenchmarkRead:./internal/sensor
PGO_COLLECTOR := BenchmarkReceive:./internal/ingest BenchmarkHandOver/gzip:./internal/store/influx

.PHONY: pgo
pgo: ## profile the hot paths for the compiler: sensor/default.pgo and collector/default.pgo, in a minute
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	profile() { \
		out=$$1; shift; profiles=; \
		for job in "$$@"; do \
			name=$$tmp/$$(basename "$${job#*:}"); \
			go test -trimpath -run '^$$' -bench "^$${job%%:*}" -benchtime 4s -cpuprofile "$$name.prof" -o "$$name.test" "$${job#*:}"; \
			profiles="$$profiles $$name.prof"; \
		done; \
		go tool pprof -proto -output "$$out" $$profiles; \
	}; \
	profile sensor/default.pgo $(PGO_SENSOR); \
	profile collector/default.pgo $(PGO_COLLECTOR); \
	ls -l sensor/default.pgo collector/default.pgo

.PHONY: bench-peers
bench-peers: build ## race flow-sensor against the probes that Debian has, as root; QUICK=1 takes two minutes, otherwise a quarter of an hour
	@$(NEED) $(PEER_NEEDS)
	PATH=$$PATH:/usr/sbin:/sbin go run ./internal/bench/peers $(if $(QUICK),-quick)

.PHONY: bench-store
bench-store: ## what an InfluxDB takes from the collector's writer, beside a loader that only posts; a minute
	@$(NEED) influxd:influxdb taskset:util-linux
	go run ./internal/bench/store

.PHONY: demo
demo: build ## watch two namespaces talk through a mirror port; INFLUXDB=1 writes into a real InfluxDB
	@$(NEED) $(DEMO_NEEDS) $(if $(filter 1,$(INFLUXDB)),influxd:influxdb)
	go run ./internal/testnet/demo $(if $(filter 1,$(INFLUXDB)),-store influxdb)

.PHONY: reference
reference: ## write packaging/doc/metrics.md and configuration.md from the source; a test says when they are behind
	go run ./internal/reference packaging/doc

.PHONY: packages
packages: ## build the packages into dist/: deb and rpm, amd64 and arm64
	packaging/build/packages $(VERSION)

.PHONY: test-packages
test-packages: ## live through the packages in throw-away Debians with a real systemd; as root
	@$(NEED) $(PACKAGE_NEEDS)
	packaging/test/run

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
