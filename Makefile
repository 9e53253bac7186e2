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
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

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
	@mkdir -p $(GO_WORK)
	@$(MAKE) -j2 bin/drover $(BOOTSTRAPS)

# Go decides itself what is up to date. It replaces a file in one step when it builds on the same file system: others may be using it.
GO_WORK := $(CURDIR)/.local/go
GO_BUILD = GOTMPDIR=$(GO_WORK) go build -trimpath -buildvcs=false

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
	@infra/deploy

.PHONY: demo
demo: python build ## a job over real data on a local AWS of its own, from the event to the answer
	@go build -trimpath -buildvcs=false -o .local/demo ./examples/demo
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" exec .local/demo

.PHONY: clean
clean: down ## deletes all that was generated, and ends what make up started
	@rm -rf bin .local
