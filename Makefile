# make demo and make test do all the set-up themselves. Needed: Linux on x86-64, make, Python 3.10-3.12 with venv
# or pip.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-fast test-slow test-paddle3 test-tensorrt test-wheel test-all fuzz lint docs lock clean

UV_VERSION := 0.13.9
RUFF_VERSION := 0.17.6
MYPY_VERSION := 2.4.1
MKDOCS := --from mkdocs==1.6.1 --with mkdocs-material==9.8.2 --with mkdocstrings==1.0.8 \
	--with mkdocstrings-python==2.0.11 --with griffelib==2.4.1 --with ruff==$(RUFF_VERSION)
UV := .uv/bin/uv

# The first Python that fits; another one: make test PYTHON=/path/to/python3.11
FITS := import platform, sys; sys.exit(not ((3, 10) <= sys.version_info[:2] <= (3, 12) \
	and (sys.platform, platform.machine()) == ('linux', 'x86_64')))
PYTHON ?= $(shell for python in python3 python3.12 python3.11 python3.10 python; do \
	$$python -c "$(FITS)" 2>/dev/null && { $$python -c 'import sys; print(sys.executable)'; break; }; done)

CHECK_PYTHON = @"$(PYTHON)" -c "$(FITS)" 2>/dev/null || \
	{ echo "no Python 3.10-3.12 for Linux x86-64 at PYTHON=$(PYTHON); name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }

# Test processes. Each multiplies matrices on one thread: two that want all cores only wait for each other.
JOBS ?= 2
PYTEST := -m pytest -n $(JOBS) --dist worksteal
FAST := $(addprefix tests/,api bundle cli docs exits files submodels tasks test_layers.py test_types.py)
FACTOR ?= 10

help:
	@echo "make demo          the whole main job on an embedded model and generated data (Paddle 2.6, CPU)"
	@echo "make test          the tests on Paddle 2.6: minutes               JOBS=2 processes"
	@echo "make test-fast     those of them that take no training: one minute"
	@echo "make test-slow     the tests that make test leaves out"
	@echo "make test-paddle3  the end-to-end test on Paddle 3.3"
	@echo "make test-tensorrt engines of TensorRT for RTX, built without a GPU"
	@echo "make test-wheel    the wheel alone in an empty environment: ofa-bert demo in few steps, a supernet in two processes"
	@echo "make test-all      all of these, lint, docs and fuzz; CI runs it without fuzz"
	@echo "make fuzz          damaged files and texts of any kind, many more of them   FACTOR=10 times"
	@echo "make lint          ruff, types, and the direction of imports"
	@echo "make docs          the pages and the Python API as a site in build/site; a broken link is an error"
	@echo "make lock          resolve requirements/*.lock anew from setup.py"
	@echo "make clean         remove the environments and caches"
	@echo "Each makes its environment when it is missing or its lock has changed. Python: make ... PYTHON=python3.11"

demo: .venv/installed
	.venv/bin/python -m ofa_bert demo

test: .venv/installed
	MKL_NUM_THREADS=1 .venv/bin/python $(PYTEST) -m "not slow"

test-fast: .venv/installed
	MKL_NUM_THREADS=1 .venv/bin/python $(PYTEST) -m "not slow" $(FAST)

test-slow: .venv/installed
	MKL_NUM_THREADS=1 .venv/bin/python $(PYTEST) -m slow

test-paddle3: .venv-paddle3/installed
	MKL_NUM_THREADS=1 .venv-paddle3/bin/python $(PYTEST) tests/test_end_to_end.py

# Paddle writes the bundles; what builds engines of them has an environment of its own, without Paddle.
ENGINES := build/tensorrt
test-tensorrt: .venv/installed .venv-tensorrt/installed
	rm -rf $(ENGINES)
	.venv/bin/python benchmarks/tensorrt_bundles.py --output_dir $(ENGINES)
	OFA_BERT_ENGINE_BUNDLES=$(ENGINES) .venv-tensorrt/bin/python -m pytest -p no:cacheprovider tests/engines

.venv-tensorrt/installed: requirements/tensorrt.txt requirements/paddle2.lock setup.py $(UV)
	$(CHECK_PYTHON)
	$(UV) venv --quiet --clear --python "$(PYTHON)" $(@D)
	$(UV) pip install --quiet --python $(@D) --constraint requirements/paddle2.lock -r requirements/tensorrt.txt \
		numpy onnx pytest pytest-timeout tokenizers tqdm
	touch $@

test-all: lint docs test test-slow test-paddle3 test-tensorrt test-wheel fuzz

# Nothing of this directory may be on the path: the commands run elsewhere, with an environment of their own.
WHEEL := build/wheel
test-wheel: $(UV)
	$(CHECK_PYTHON)
	rm -rf $(WHEEL) && mkdir -p $(WHEEL)
	$(UV) build --quiet --wheel --out-dir $(WHEEL) --python "$(PYTHON)" .
	$(UV) venv --quiet --python "$(PYTHON)" $(WHEEL)/venv
	$(UV) pip install --quiet --python $(WHEEL)/venv --constraint requirements/paddle2.lock \
		--overrides requirements/overrides.txt "$$(ls $(CURDIR)/$(WHEEL)/*.whl)[cpu,demo]"
	cd $(WHEEL) && venv/bin/ofa-bert --version && venv/bin/ofa-bert demo --max_steps 4
	cd $(WHEEL) && venv/bin/ofa-bert supernet --task_name demo --device cpu --processes 2 --max_steps 4 \
		--model_name_or_path output/demo/teacher --width_mult_list 1 1/2 --batch_size 8 --output_dir two
	grep -q '"processes": 2' $(WHEEL)/two/results.json

fuzz: .venv/installed
	OFA_BERT_FUZZ=$(FACTOR) MKL_NUM_THREADS=1 .venv/bin/python $(PYTEST) --timeout 3600 tests/robustness \
		tests/data/test_round_trip.py tests/data/test_text_tokenizer.py

# Installs exactly what the lock says, without resolving: some declared dependencies are left out on purpose.
.venv/installed: requirements/paddle2.lock
.venv-paddle3/installed: requirements/paddle3.lock
.venv/installed .venv-paddle3/installed: setup.py pyproject.toml $(UV)
	$(CHECK_PYTHON)
	$(UV) venv --quiet --clear --python "$(PYTHON)" $(@D)
	$(UV) pip sync --python $(@D) $(filter %.lock,$^)
	$(UV) pip install --python $(@D) --no-deps --editable .
	touch $@

# uv has a folder of its own, so that it makes the environments even where Python has pip but no venv.
$(UV):
	$(CHECK_PYTHON)
	rm -rf .uv
	"$(PYTHON)" -m venv .uv && .uv/bin/python -m pip install --quiet uv==$(UV_VERSION) || \
		{ rm -rf .uv; "$(PYTHON)" -m pip install --quiet --target .uv uv==$(UV_VERSION); }

COMPILE = $(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --no-annotate \
	--custom-compile-command "make lock" --overrides requirements/overrides.txt --extra demo --extra test
lock: $(UV)
	$(COMPILE) setup.py --extra cpu --output-file requirements/paddle2.lock
	$(COMPILE) setup.py --extra paddle3 --output-file requirements/paddle3.lock

lint: $(UV) .venv/installed
	$(UV) tool run ruff@$(RUFF_VERSION) format --check .
	$(UV) tool run ruff@$(RUFF_VERSION) check .
	$(UV) tool run mypy@$(MYPY_VERSION) --python-executable .venv/bin/python
	.venv/bin/lint-imports

# Reads the package without importing it, so it needs no environment. Ruff sets the signatures. Not with --quiet, which
# keeps warnings from being counted.
docs: $(UV)
	NO_MKDOCS_2_WARNING=1 $(UV) tool run $(MKDOCS) mkdocs build --strict --config-file docs/site/mkdocs.yml
	@echo "build/site/index.html"

clean:
	rm -rf .uv .venv .venv-paddle3 .venv-tensorrt .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
