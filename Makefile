# The project's workshop: `make` lists what it can do. Each target does its own set-up; what it generates lies below bin/ and .local/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Where make up has the local AWS listen.
PORT ?= 4566
# What functions are built and deployed for, in Go's words or in uname's; Go's are used from here on.
ARCH ?= $(shell go env GOHOSTARCH)
override ARCH := $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(ARCH)))
# Python 3.11 or later, with venv.
PYTHON ?= python3
export ARCH PYTHON

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

# The tools that need Python: the local AWS, the AWS CLI, cfn-lint. A fraction of a second when they are there.
VENV := .local/venv
.PHONY: python
python:
	@$(PYTHON) localstack/environment.py >/dev/null

# A bootstrap for each function and each example's worker, at .local/<the folder of its main.go>/bootstrap, where templates find it.
BOOTSTRAPS := $(patsubst %/main.go,.local/%/bootstrap,$(wildcard functions/*/main.go examples/*/worker/main.go))

.PHONY: build
build: ## bin/drover, and below .local/ the functions for ARCH (amd64 or arm64, this machine's by default)
	@case "$(ARCH)" in amd64 | arm64) ;; *) echo 'ARCH is "$(ARCH)": Lambda runs on amd64 and arm64' >&2; exit 2 ;; esac
	@mkdir -p "$(GO_WORK)"
	@$(MAKE) -j2 bin/drover $(BOOTSTRAPS)

# Go decides itself what is up to date. It replaces a file in one step when it builds on the same file system: others may be using it.
GO_WORK := $(CURDIR)/.local/go
GO_BUILD = GOTMPDIR="$(GO_WORK)" go build -trimpath -buildvcs=false

.PHONY: always
bin/drover: always
	@$(GO_BUILD) -o $@ ./cmd/drover

# Without the RPC server of a retired runtime, without symbols, and with a fixed time: the same source is the same zip, so that
# a deployment without changes changes nothing. (Zips know no time before 1980.)
.local/%/bootstrap: always
	@CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO_BUILD) -tags lambda.norpc -ldflags '-s -w' -o $@ ./$*
	@chmod 755 $@ && TZ=UTC touch -t 198001020000 $@

.PHONY: up
up: python ## starts the local AWS in the background on PORT (4566) and prints the settings to paste
	@$(VENV)/bin/python3 localstack/emulator.py up --port $(PORT) $(patsubst %,--set %,$(SETTINGS))

.PHONY: down
down: ## ends what make up started
	@$(PYTHON) localstack/emulator.py down

.PHONY: deploy
deploy: python build ## builds and deploys to where the AWS settings point, as stack DROVER_STACK (drover), with PARAMETERS="Name=value ..."
	@$(VENV)/bin/python3 infra/deploy

.PHONY: demo
demo: python build ## a job over real data on a local AWS of its own, from the event to the answer
	@go build -trimpath -buildvcs=false -o .local/demo ./examples/demo
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" exec .local/demo

# Go's cache of results does not see what the programs that tests start depend on, so it is not used. Whatever points to an
# account of the user's is out of reach, unless DROVER_TEST_AWS=1 says that it is meant.
NO_AWS = env -u AWS_PROFILE -u AWS_SESSION_TOKEN AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_EC2_METADATA_DISABLED=true
TEST_ENV = $(if $(filter 1,$(DROVER_TEST_AWS)),,$(NO_AWS)) PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

# What a contributor runs after each change: nothing but Go, no process of Python, under a minute on two cores once Go's build cache is warm.
# -short cuts sweeps and simulations to a part of what make test runs, and skips what needs a local AWS. The tests that ask `go list` read files
# that Go's cache of results does not see, so results are not cached.
.PHONY: check
check: ## builds, vets and runs the unit tests (TESTFLAGS="-run Name"): the fast loop; make test runs everything
	@go build ./...
	@go vet ./...
	@$(NO_AWS) go test -short -count=1 $(TESTFLAGS) ./...

.PHONY: test
test: build ## all tests, also the whole on a local AWS of its own (TESTFLAGS="-race -run Name")
	@$(PYTHON) localstack/environment.py requirements.txt requirements-tests.txt >/dev/null
	@$(TEST_ENV) go test -count=1 -timeout 20m $(TESTFLAGS) ./...

# AT_HAND=1 installs nothing: .ci/run asks those that are there. docs/referees.md says what each is asked.
.PHONY: referees
referees: ## implementations that others wrote judge the in-memory DynamoDB, the event patterns, the state machines; installs each once
	@localstack/referees $(if $(AT_HAND),--at-hand)

# With AWS_ENDPOINT_URL it tries itself out on that local AWS. DROVER_TEST_RUN and DROVER_TEST_CHECKS are patterns that choose tests.
.PHONY: conformance
conformance: python build ## the suites and ten checks against an account of AWS, in stacks that it takes away: DROVER_TEST_AWS=1 DROVER_TEST_DOLLARS=10
	@$(PYTHON) localstack/environment.py requirements.txt requirements-tests.txt >/dev/null
	@go build -trimpath -buildvcs=false -o .local/account ./localstack/account
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" exec .local/account $(if $(CLEAN),-clean $(CLEAN))

.PHONY: bench
bench: python build ## the benchmarks (BENCH=pattern), also a million tasks on a local AWS (or DROVER_BENCH_TASKS=n)
	@packages=$$({ grep -rlE --include='*_test.go' --exclude-dir=.local '^func Benchmark' . || true; } | sed 's,/[^/]*$$,,' | sort -u); \
	[ -z "$$packages" ] || $(TEST_ENV) go test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem -timeout 60m $$packages

# Worlds of the simulator: many, of which it tells how fast they went, what was injected and what was reached; or one, step by step.
SEEDS ?= 10000
.PHONY: sim
sim: ## the simulator over SEEDS (10000) worlds, FROM (1) on; or SEED=n, that one alone and all its steps
	@go test -count=1 -timeout 0 -v ./shared/sim -run '^TestSeed$(if $(SEED),,s)$$' $(if $(SEED),-seed $(SEED),-seeds $(SEEDS) -from $(or $(FROM),1))

# One target after the other, as each uses all processors. What is found is kept by Go as a case of its own, to be committed.
FUZZTIME ?= 1m
.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (1m), or those that FUZZ=pattern matches
	@failed=; while IFS=: read -r file target; do \
		echo "$$(dirname $$file) $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)" </dev/null || failed="$$failed $$target"; \
	done < <(grep -roE --include='*_test.go' --exclude-dir=.local '^func Fuzz\w+' . | sed 's/func //' | grep -E '$(or $(FUZZ),.)' | sort); \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

# Tools of Go, built once: a folder for each version, so that another version is built anew. Two minutes for the first on two cores.
GOLANGCI_LINT := .local/tools/golangci-lint@v2.15.0/golangci-lint
GOVULNCHECK := .local/tools/govulncheck@v1.8.0/govulncheck
$(GOLANGCI_LINT): package := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(GOVULNCHECK): package := golang.org/x/vuln/cmd/govulncheck
.local/tools/%:
	@echo "Building $(*D)" >&2
	@CGO_ENABLED=0 GOBIN="$(CURDIR)/$(@D)" go install $(package)@$(lastword $(subst @, ,$(*D)))

.PHONY: lint
lint: python $(GOLANGCI_LINT) $(GOVULNCHECK) ## formatting, linters, the template, the state machines, known vulnerabilities
	@$(GOLANGCI_LINT) run --allow-parallel-runners
	@$(VENV)/bin/python3 infra/lint
	@report=$$($(GOVULNCHECK) ./... 2>&1) || { code=$$?; echo "$$report" >&2; \
	case "$$report" in \
	*"fetching vulnerabilities: "*"dial tcp: "*) echo "known vulnerabilities are NOT checked: their database is out of reach from here" >&2 ;; \
	*) exit $$code ;; \
	esac; }

# checkov in a Python environment of its own: it needs another boto3 than the local AWS. 300 MB, once.
AUDIT := .local/audit
$(AUDIT)/installed: infra/requirements-audit.txt
	@echo "Installing checkov" >&2
	@mkdir -p .local && $(PYTHON) -m venv --clear $(AUDIT)
	@$(AUDIT)/bin/python3 -m pip --disable-pip-version-check install --quiet --no-deps --requirement $<
	@touch $@

.PHONY: audit
audit: $(AUDIT)/installed ## checkov's reading of the template; what it is told to leave out has its reason in infra/checkov.yaml
	@$(AUDIT)/bin/checkov --config-file infra/checkov.yaml

.PHONY: clean
clean: down ## deletes all that was generated, and ends what make up started
	@rm -rf bin .local
