# Every target sets itself up: `python3 -m tpt_runtime.setup` is quick when there is nothing to do.
PYTHON ?= python3
WORKERS ?= 2
VARIANT ?= cpu
BIN := .venv/bin
# Tests and checks need no model hub; a look-up would be a mistake, and fails at once.
OFFLINE := HF_HUB_OFFLINE=1

# vLLM's CPU build has wheels for Linux x86-64 only; elsewhere Transformers samples and plain PyTorch trains.
QUICKSTART := examples/quickstart/$(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),run,run-without-vllm).yaml

CHART_CRD := charts/tpt-operator/files/tpt.dev_selfimprovementruns.yaml

.DEFAULT_GOAL := help
.PHONY: help quickstart test e2e images check verify generate docs soak control-plane

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: ## Set everything up, then watch a small model improve on its own traces
	@$(PYTHON) -m tpt_runtime.setup
	@$(BIN)/tpt demo-model runs/quickstart
	@$(BIN)/tpt run $(QUICKSTART)

test: ## Set everything up, then run all tests: the fast ones in parallel, those with real engines one by one
	@$(PYTHON) -m tpt_runtime.setup --tests
	@fast=0; engine=0; \
	$(OFFLINE) $(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not engine and not e2e" --durations=5 || fast=$$?; \
	$(OFFLINE) $(BIN)/pytest -m engine --durations=10 || engine=$$?; \
	if [ $$fast -eq 0 ] && [ $$engine -eq 0 ]; then echo "make test: all passed"; \
	else echo "make test: FAILED (pytest's exit codes: fast tests $$fast, engine tests $$engine)"; exit 1; fi

e2e: ## Build the images, start a node (root) or use TPT_E2E_KUBECONFIG, and carry the quickstart through evictions
	@$(PYTHON) -m tpt_runtime.setup --profile e2e
	$(BIN)/pytest tests/e2e -m e2e -x --durations=15

images: ## Build the images with buildah or docker; settings: VARIANT=cpu|cuda TAG= PUSH=REGISTRY ARCHIVE=DIR BASE=IMAGE
	@$(PYTHON) -m images.build --variant $(VARIANT) $(if $(TAG),--tag $(TAG)) $(if $(PUSH),--push $(PUSH)) \
		$(if $(ARCHIVE),--archive $(ARCHIVE)) $(if $(BASE),--base $(BASE))

check: ## Lint, check the format, the types, the layers, and that what is generated is current
	@$(PYTHON) -m tpt_runtime.setup --profile dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory verify

verify: ## Fail if anything that is generated differs from what would be generated now
	@$(PYTHON) -m tpt_runtime.setup --profile dev
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(BIN)/tpt crd --output "$$fresh/crds" && \
	$(BIN)/python -m tpt_runtime.core.reference > "$$fresh/reference.md" && \
	if diff -r crds "$$fresh/crds" && diff $(CHART_CRD) "$$fresh/crds" && diff docs/reference.md "$$fresh"; \
	then echo "make verify: crds/, the chart's copy and docs/reference.md are current"; \
	else echo "make verify: what is generated differs from the models; run: make generate"; exit 1; fi

generate: ## Write what is generated from the models: crds/, the chart's copy, docs/reference.md
	@$(PYTHON) -m tpt_runtime.setup --profile dev
	@$(BIN)/tpt crd --output crds
	@$(BIN)/tpt crd --output $(dir $(CHART_CRD))
	@$(BIN)/python -m tpt_runtime.core.reference > docs/reference.md

docs: ## Build the documentation as a site, into site/
	@$(PYTHON) -m tpt_runtime.setup --profile dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo "make docs: site/index.html"

soak: ## Run the planner's simulation with 100,000 examples, then end runs with real engines at many random points
	@$(PYTHON) -m tpt_runtime.setup
	TPT_SOAK=1 $(BIN)/pytest -n $(WORKERS) tests/core/test_simulation.py
	TPT_SOAK=1 $(OFFLINE) $(BIN)/pytest tests/steps/test_killed_sampling.py tests/local/test_killed_engine_runs.py

control-plane: ## Download the control plane that the tests in tests/cluster run on, where there is none
	@$(PYTHON) tests/cluster/binaries.py
