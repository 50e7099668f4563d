# make check is the whole gate. make help lists the rest.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
TAGS        = browser,interop,promtool,ratio,spire# of the lanes that go test ./... leaves out
ACTIONLINT  = github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
FUZZTIME    = 1m
ROUNDS      = 6
SOAK        = 60s
SEED        = 0
DIFFTIME    = 10m
ONLY        =
VERSION     =

# Every module, the root first: a new go.mod is found by itself.
MODULES := $(sort $(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path '*/testdata/*' -not -path '*/node_modules/*')))

# each runs a command in every module.
each = @set -e; for m in $(MODULES); do echo "$$m: $(1)"; (cd $$m && $(1)); done

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

check: fmt vet staticcheck tidy race fuzz-smoke bench-smoke ## everything that has to hold before a commit

fmt: ## formatting
	@test -z "$$(gofmt -l . | tee /dev/stderr)"

vet: ## go vet, in every module
	$(call each,go vet -tags $(TAGS) ./...)

staticcheck: ## staticcheck, in every module
	$(call each,go run $(STATICCHECK) -tags $(TAGS) ./...)

workflows: ## actionlint, over .github
	go run $(ACTIONLINT)

govulncheck: ## known vulnerabilities, in every module; needs vuln.go.dev
	$(call each,go run $(GOVULNCHECK) ./...)

tidy: ## go.mod and go.sum say what the code needs
	$(call each,go mod tidy -diff)

test: ## tests of the root module
	go test ./...

race: ## tests of every module with the race detector, in random order
	$(call each,go test -race -shuffle=on ./...)

conformance: ## rewrite CONFORMANCE.md, and see that what it says holds
	go test -count=1 ./conformance -update

fuzz: ## every fuzz target for FUZZTIME=1m
	@.ci/fuzz $(FUZZTIME)

fuzz-smoke: ## every fuzz target for 10,000 inputs
	@.ci/fuzz 10000x

bench: ## six rounds of ours, of other libraries, and over loopback, written to benchmarks/README.md; some 12 minutes
	@go run ./benchmarks/rounds -n $(ROUNDS) -write benchmarks/README.md -plots benchmarks
	@go run ./benchmarks/rounds -dir benchmarks/compare/verify -n $(ROUNDS) -benchtime 100ms -write benchmarks/README.md -plots benchmarks
	@go run ./benchmarks/loopback -rounds $(ROUNDS) -write benchmarks/README.md

bench-smoke: ## every benchmark once, the allocations, and times out of proportion
	go test -bench . -benchtime 1x ./benchmarks
	go test -tags ratio -run TestRatioSmoke -count=1 -v ./benchmarks

soak: ## a key set and an introspection client under a thousand goroutines, and 10,000 issuers that come and go under requests and gRPC streams, for SOAK=60s each, with the race detector; SEED=n replays
	go test -race -count=1 -timeout 0 -v -run '^TestSoak' ./jwks -soak $(SOAK) -seed $(SEED)
	go test -race -count=1 -timeout 0 -v -run '^TestSoak' ./introspection -soak $(SOAK) -seed $(SEED)
	go test -race -count=1 -timeout 0 -v -run '^TestSoakOfIssuers' . -soak $(SOAK)
	go test -race -count=1 -timeout 0 -v -run '^TestSoakOfIssuers' ./grpcauth -soak $(SOAK)

mutate: ## take each check away in turn, and see that a test fails; some 30 minutes; ONLY=./grpcauth takes those of one package
	@go run ./conformance/mutate -only '$(ONLY)'

differential: ## our verdicts on made-up tokens against three JOSE libraries for DIFFTIME=10m; SEED=n replays
	go test -C conformance/differential -count=1 -timeout 0 -v -run '^TestDifferences$$' . -duration $(DIFFTIME) -seed $(SEED)

bench-jwks: ## how the caches of other libraries take rotations, floods and outages; some 6 minutes
	go run -C benchmarks/compare/jwks . -write README.md

bench-issuers: ## what 1, 200 and 10,000 issuers cost, as the table of docs/tenants.md
	@go run ./benchmarks/issuers

bench-introspection: ## how introspection clients take load, outages and floods; some 7 minutes
	go run -C benchmarks/compare/introspection . -write README.md

interop: ## real authorization servers, other resource servers, NGINX, grpcurl, ghz and MCP clients, installed as needed; some 6 minutes
	go test -C interop -tags interop -count=1 -timeout 30m -v .

redis: ## introspection answers shared by Redis: examples/redis twice, beside a redis-server
	@command -v redis-server >/dev/null || (apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server)
	go test -C examples -tags interop -count=1 ./redis

spire: ## JWT-SVIDs of a real SPIRE server and agent, which are built once, in some 10 minutes
	go test -C integrations/spiffeauth -tags spire -count=1 -timeout 60m -v -run '^TestSPIRE' .

alerts: ## the alert rules of promaccesstoken, fired by promtool, which is unpacked from its package if it is missing
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	{ command -v promtool >/dev/null || { { [ "$$(id -u)" != 0 ] || apt-get update -qq; } && (cd "$$dir" && apt-get download -qq prometheus && dpkg -x prometheus_*.deb .); }; } && \
	PATH="$$PATH:$$dir/usr/bin" go test -C integrations/promaccesstoken -tags promtool -count=1 -run '^TestAlertsFire$$' .

browser: ## the quickstart in a headless browser; screenshots in examples/browser/screenshots
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium)
	go test -C examples -tags browser -count=1 ./browser

release-rehearsal: ## what a release of VERSION=v0.1.0 has, in bin/release; publishes nothing
	@go run ./internal/release -version '$(VERSION)' -out bin/release

apidiff: ## what changed in the API since the last tag, and its semver class
	@go run ./internal/release -api

.PHONY: help check fmt vet staticcheck workflows govulncheck tidy test race conformance fuzz fuzz-smoke bench bench-smoke soak mutate differential bench-jwks bench-introspection bench-issuers interop redis spire alerts browser release-rehearsal apidiff
