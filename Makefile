# `make` lists the targets. Each target does its own set-up, and generates files only below bin/ and .local/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The port of make up's local AWS.
PORT ?= 4566
# The architecture of the functions. Names of Go and of uname are accepted; from here on it has Go's.
ARCH ?= $(shell go env GOHOSTARCH)
override ARCH := $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(ARCH)))
# Python 3.11 or later, with venv.
PYTHON ?= python3
export ARCH PYTHON

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

# Python runs the local AWS, the AWS CLI and cfn-lint. This takes a fraction of a second if they are installed.
VENV := .local/venv
.PHONY: python
python:
	@$(PYTHON) localstack/environment.py >/dev/null

# Each function and each example's worker becomes .local/<the folder of its main.go>/bootstrap, where the templates expect it. CODE is another folder.
CODE ?= .local
FUNCTIONS := $(patsubst %/main.go,$(CODE)/%/bootstrap,$(wildcard functions/*/main.go))
BOOTSTRAPS := $(FUNCTIONS) $(patsubst %/main.go,$(CODE)/%/bootstrap,$(wildcard examples/*/worker/main.go))

.PHONY: build
build: ## build bin/drover, and below .local/ the functions for ARCH (amd64 or arm64; default: this machine's)
	@case "$(ARCH)" in amd64 | arm64) ;; *) echo 'ARCH is "$(ARCH)": Lambda runs on amd64 and arm64' >&2; exit 2 ;; esac
	@mkdir -p "$(GO_WORK)"
	@$(MAKE) -j2 bin/drover $(BOOTSTRAPS)

# Go decides what is up to date. Building on the same file system lets it replace a file in one step, because another process may be using the file.
GO_WORK := $(CURDIR)/.local/go
GO_BUILD = GOTMPDIR="$(GO_WORK)" go build -trimpath -buildvcs=false

# Git's description of this work tree, for drover version; empty if the folder is not a work tree of its own. Functions are built without it, so that
# the same source makes the same zip.
VERSION = $(shell test -z "$$(git rev-parse --show-prefix 2>&1)" && git describe --tags --always --dirty 2>/dev/null)

.PHONY: always
bin/drover: always
	@$(GO_BUILD) -ldflags '-X main.version=$(VERSION)' -o $@ ./cmd/drover

# Built without the RPC server of a retired runtime, without symbols, and with a fixed time: the same source makes the same zip, so a
# deployment without changes changes nothing. (A zip cannot have a time before 1980.)
$(CODE)/%/bootstrap: always
	@CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO_BUILD) -tags lambda.norpc -ldflags '-s -w' -o $@ ./$*
	@chmod 755 $@ && TZ=UTC touch -t 198001020000 $@

.PHONY: up
up: python ## start the local AWS in the background on PORT (4566), and print the settings to paste
	@$(VENV)/bin/python3 localstack/emulator.py up --port $(PORT) $(patsubst %,--set %,$(SETTINGS))

.PHONY: down
down: ## stop the local AWS of make up
	@$(PYTHON) localstack/emulator.py down

.PHONY: deploy
deploy: build ## build, and deploy to the target of the AWS settings, as stack DROVER_STACK (drover), with PARAMETERS="Name=value ..."
	@bin/drover deploy --yes --template infra/template.yaml --parameter Architecture=$(patsubst amd64,x86_64,$(ARCH)) $(PARAMETERS:%=--parameter '%')

.PHONY: demo
demo: python build ## run a job over real data on its own local AWS, from the event to the answer
	@go build -trimpath -buildvcs=false -o .local/demo ./examples/demo
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" exec .local/demo

.PHONY: demo-workflow
demo-workflow: python build ## run a workflow on real data on a local AWS of its own, mend what failed, and run it again
	@go build -trimpath -buildvcs=false -o .local/demo-workflow ./examples/workflow/demo
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" exec .local/demo-workflow

.PHONY: demo-cap
demo-cap: python build ## show a cap that finds itself, on a toy database and a local AWS of its own
	@go build -trimpath -buildvcs=false -o .local/demo-cap ./examples/cap
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" exec .local/demo-cap

# Results are not cached, because Go's cache does not notice the files that programs started by tests read. Tests cannot reach the user's AWS account
# unless DROVER_TEST_AWS=1.
NO_AWS = env -u AWS_PROFILE -u AWS_SESSION_TOKEN AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_EC2_METADATA_DISABLED=true
TEST_ENV = $(if $(filter 1,$(DROVER_TEST_AWS)),,$(NO_AWS)) PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

# For contributors, after each change. It needs only Go, and takes under a minute on two cores once Go's build cache is warm. -short runs a part of the
# outage sweeps and simulations that make test runs in full, and skips tests that need Python or a local AWS.
.PHONY: check
check: ## build, vet and run the unit tests (TESTFLAGS="-run Name"): the fast loop
	@go build ./...
	@go vet ./...
	@$(NO_AWS) go test -short -count=1 $(TESTFLAGS) ./...

.PHONY: test
test: build ## run all tests, with the end-to-end tests on their own local AWS (TESTFLAGS="-race -run Name")
	@$(PYTHON) localstack/environment.py requirements.txt requirements-tests.txt >/dev/null
	@$(TEST_ENV) go test -count=1 -timeout 20m $(TESTFLAGS) ./...

# The packages of the SDKs of other languages, in .local/packages: drover-worker's wheel and source distribution, and its npm package.
PACKAGES := .local/packages
.PHONY: packages
packages: ## build the packages of the Python and Node SDKs, in .local/packages; the latter needs npm
	@$(PYTHON) localstack/environment.py requirements.txt requirements-tests.txt >/dev/null
	@rm -rf $(PACKAGES) && mkdir -p $(PACKAGES)
	@cd shared/worker/python && for what in wheel sdist; do \
		"$(CURDIR)/$(VENV)/bin/python3" -c "import flit_core.buildapi as b; print('$(PACKAGES)/' + b.build_$$what('$(CURDIR)/$(PACKAGES)'))"; \
	done
	@echo "$(PACKAGES)/$$(cd shared/worker/node && npm pack --silent --pack-destination "$(CURDIR)/$(PACKAGES)")"

# The archives of the command line tool, with the functions for both processors. They need nothing but Go.
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
RELEASE ?= .local/release
.PHONY: release
release: ## build archives of drover for PLATFORMS, with bills of materials and checksums, in RELEASE (.local/release)
	@mkdir -p "$(GO_WORK)"
	@for arch in amd64 arm64; do $(MAKE) ARCH=$$arch CODE=.local/code/$$arch functions; done
	@go run ./infra/release "$(RELEASE)" "$(or $(VERSION),0.0.0)" .local/code $(PLATFORMS)

.PHONY: functions
functions: $(FUNCTIONS)

# AT_HAND=1 installs nothing: .ci/run uses the installed referees. docs/referees.md says what each checks.
.PHONY: referees
referees: ## compare the in-memory DynamoDB, the event patterns and the state machines with other implementations, installed once
	@localstack/referees $(if $(AT_HAND),--at-hand)

# With AWS_ENDPOINT_URL it runs on that local AWS. The patterns DROVER_TEST_RUN and DROVER_TEST_CHECKS choose tests.
.PHONY: conformance
conformance: python build ## run the suites and ten checks in an AWS account, in stacks that it deletes: DROVER_TEST_AWS=1 DROVER_TEST_DOLLARS=10
	@$(PYTHON) localstack/environment.py requirements.txt requirements-tests.txt >/dev/null
	@go build -trimpath -buildvcs=false -o .local/account ./localstack/account
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" exec .local/account $(if $(CLEAN),-clean $(CLEAN))

BENCH_TABLES := .local/bench
.PHONY: bench
bench: build ## run the benchmarks (BENCH=pattern); ends in the table of Drover beside sosw. BENCH_LONG=1: with a job of a million tasks
	@$(PYTHON) localstack/environment.py requirements.txt requirements-tests.txt >/dev/null
	@rm -rf $(BENCH_TABLES)
	@packages=$$({ grep -rlE --include='*_test.go' --exclude-dir=.local '^func Benchmark' . || true; } | sed 's,/[^/]*$$,,' | sort -u); \
	[ -z "$$packages" ] || $(TEST_ENV) $(if $(filter 1,$(BENCH_LONG)),DROVER_BENCH_TASKS=1000000) \
	go test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem -timeout 60m $$packages; status=$$?; \
	! test -d $(BENCH_TABLES) || cat $(BENCH_TABLES)/*.md; exit $$status

# The simulator runs many worlds and prints their speed, the injected faults and the reached states; or one world, step by step.
SEEDS ?= 10000
.PHONY: sim
sim: ## simulate SEEDS (10000) worlds from FROM (1) on; or with SEED=n one world, with all its steps
	@go test -count=1 -timeout 0 -v ./shared/testing/sim -run '^TestSeed$(if $(SEED),,s)$$' $(if $(SEED),-seed $(SEED),-seeds $(SEEDS) -from $(or $(FROM),1))

# One target after the other, because each uses all processors. Go keeps each failing input as a test case: commit it.
FUZZTIME ?= 1m
.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (1m), or those that FUZZ=pattern matches
	@failed=; while IFS=: read -r file target; do \
		echo "$$(dirname $$file) $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)" </dev/null || failed="$$failed $$target"; \
	done < <(grep -roE --include='*_test.go' --exclude-dir=.local '^func Fuzz\w+' . | sed 's/func //' | grep -E '$(or $(FUZZ),.)' | sort); \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

# Go tools, built once, in a folder for each version. The first one takes two minutes on two cores.
GOLANGCI_LINT := .local/tools/golangci-lint@v2.15.0/golangci-lint
GOVULNCHECK := .local/tools/govulncheck@v1.8.0/govulncheck
$(GOLANGCI_LINT): package := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(GOVULNCHECK): package := golang.org/x/vuln/cmd/govulncheck
.local/tools/%:
	@echo "Building $(*D)" >&2
	@CGO_ENABLED=0 GOBIN="$(CURDIR)/$(@D)" go install $(package)@$(lastword $(subst @, ,$(*D)))

.PHONY: lint
lint: python $(GOLANGCI_LINT) $(GOVULNCHECK) ## check formatting, linters, the template, the state machines, known vulnerabilities
	@$(GOLANGCI_LINT) run --allow-parallel-runners
	@$(VENV)/bin/python3 infra/lint
	@report=$$($(GOVULNCHECK) ./... 2>&1) || { code=$$?; echo "$$report" >&2; \
	case "$$report" in \
	*"fetching vulnerabilities: "*"dial tcp: "*) echo "known vulnerabilities are NOT checked: their database is out of reach from here" >&2 ;; \
	*) exit $$code ;; \
	esac; }

# checkov has its own Python environment, because it needs another boto3 than the local AWS. It takes 300 MB, once.
AUDIT := .local/audit
$(AUDIT)/installed: infra/requirements-audit.txt
	@echo "Installing checkov" >&2
	@mkdir -p .local && $(PYTHON) -m venv --clear $(AUDIT)
	@$(AUDIT)/bin/python3 -m pip --disable-pip-version-check install --quiet --no-deps --requirement $<
	@touch $@

.PHONY: audit
audit: $(AUDIT)/installed ## check the template with checkov; infra/checkov.yaml gives the reason for each skipped check
	@$(AUDIT)/bin/checkov --config-file infra/checkov.yaml

.PHONY: clean
clean: down ## stop make up's local AWS, and delete everything generated
	@rm -rf bin .local
