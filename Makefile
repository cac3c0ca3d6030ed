# Everything a developer does. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup models run demo test images e2e lint format bench-spine bench-records bench-store bench-peeking bench-identical bench-accelerate bench-many bench-peers golden semantics crd proto clean

UV_VERSION := 0.13.8
PYTHON ?= python3.11
VERSION := 0.1.0
IMAGES ?= control serving local
# Any builder that knows -f, --target and -t: `make images IMAGE_BUILD="podman build"`.
IMAGE_BUILD ?= docker build
# A uv on the PATH is used; otherwise one is installed into .uv, beside the project's own environment.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
BIN := .venv/bin
# Without compiled bytecode every Ray worker compiles its imports again, which doubles every start.
export UV_COMPILE_BYTECODE := 1

help: ## List the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

.uv/bin/uv:
	@echo "==> installing uv $(UV_VERSION) into .uv"
	@$(PYTHON) -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: pyproject.toml uv.lock | $(filter .uv/bin/uv,$(UV))
	@echo "==> setting up .venv (first time: a few hundred megabytes)"
	@$(UV) sync --locked --extra local --extra kube --python $(PYTHON)
	@touch $@

setup: .venv/.synced ## Create .venv with everything pinned in uv.lock

models: setup ## Train the example models (skips those that exist)
	@$(BIN)/python deployments/examples/train.py

run: models ## Serve the examples on 127.0.0.1:8080 until Ctrl-C
	@exec $(BIN)/tidegate up deployments/examples

demo: models ## Watch canary, blue-green, shadow, A/B test and bandit under steady traffic, in under four minutes
	@exec $(BIN)/python deployments/examples/demo.py

test: models ## Run all tests (starts a real Ray and a real Envoy)
	$(BIN)/pytest

images: ## Build the images tidegate-control, tidegate-serving and tidegate-local
	@for image in $(IMAGES); do \
	  echo "==> building tidegate-$$image:$(VERSION)"; \
	  $(IMAGE_BUILD) -f deployments/Dockerfile --target $$image -t tidegate-$$image:$(VERSION) . || exit 1; \
	done

e2e: models ## Install the chart on the cluster of KUBECONFIG and try everything there (images: make images)
	$(BIN)/pytest tests/e2e

lint: setup ## Formatting, style, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Rewrite the code in the project's style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: setup ## Rewrite the golden files from what the translator says now
	$(BIN)/pytest tests/golden --update-golden

semantics: setup ## Write docs/semantics.md from the table that its tests play
	$(BIN)/python tests/unit/core/semantics.py

proto: setup ## Write the descriptors of the gRPC protocol from its .proto
	$(BIN)/python -m grpc_tools.protoc -I serving/protocol --descriptor_set_out=serving/protocol/v2_grpc.binpb v2_grpc.proto

crd: setup ## Write the chart's CRDs from the API types
	$(BIN)/python -m operators.api charts/tidegate/files/crds

bench-spine: models ## Tidegate through Envoy against Ray Serve's own proxy, same model, same run
	$(BIN)/python -m benchmarks.spine

bench-records: models ## What records cost a replica
	$(BIN)/python -m benchmarks.records

bench-store: setup ## What the monitor stores and answers in a second, on SQLite and PostgreSQL
	$(BIN)/python -m benchmarks.store

bench-peeking: setup ## How often gates are wrong that are watched all the time, and how soon they are right
	$(BIN)/python -m benchmarks.peeking

bench-identical: models ## Two hundred rollouts of twins: how often is one taken for worse?
	$(BIN)/python -m benchmarks.identical

bench-accelerate: models ## What `accelerate: onnx` gains
	$(BIN)/python -m benchmarks.accelerate

bench-many: models ## Hundreds of models in two replicas against one model alone
	$(BIN)/python -m benchmarks.manymodels

bench-peers: models ## Set up every peer in an environment of its own, and see that it answers rightly
	$(BIN)/python -m benchmarks.peers check

clean: ## Remove the environment, caches and trained models
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache deployments/examples/models
