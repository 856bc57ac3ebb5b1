# Each target does its own set-up in .venv. PYTHON chooses the interpreter, PIP_ARGS adds to every install, TEST_WORKERS
# says how many processes share the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TEST_WORKERS ?= 2

.PHONY: demo test check docs wheel setup settings-reference emulation gpu-check clean

demo: $(VENV)/.demo
	$(BIN)/latentline-edge demo $(ARGS)

# Compiled modules are kept, whatever the environment says: each worker, and each of the hundreds of processes that tests
# start, would compile them again.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The site in site/; a dead link, a missing page or anything loaded from another host ends it with an error.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

wheel: $(VENV)/.dev
	rm -rf build    # setuptools would pack modules that an earlier build left there
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

setup: $(VENV)/.dev

# docs/reference/settings.md, from the docstrings of the settings classes; a test compares.
settings-reference: $(VENV)/.dev
	$(BIN)/python -m docs.settings_reference docs/reference/settings.md \
		edge_runtime.config:StationConfig trainer.config:TrainConfig

# What the tests of the GPU search need where there is no GPU: pycuda built without a driver, and an emulation of one.
emulation: $(VENV)/.dev
	$(BIN)/python tests/fake_cuda/build.py --pycuda

# On a machine with an NVIDIA GPU and PyTorch: what the GPU path and the trainer do there (bench/gpu/README.md).
gpu-check: $(VENV)/.dev
	$(BIN)/python -m bench.gpu.check $(ARGS)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet $(PIP_ARGS) -e '.[demo,page]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet $(PIP_ARGS) -e '.[dev]'
	@touch $@ $(VENV)/.demo $(VENV)/.docs

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet $(PIP_ARGS) -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) .fake_cuda build dist site *.egg-info
