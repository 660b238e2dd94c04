# Everything runs in .venv, which the first target that needs it makes. PYTHON chooses the interpreter for it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := $(VENV)/.tools
INSTALLED := $(VENV)/.installed
DOCS := $(VENV)/.docs
CPP = $(shell find csrc tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')
SOURCES := CMakeLists.txt pyproject.toml $(wildcard csrc/*.* csrc/*/*.*)

pip_install = PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

.DELETE_ON_ERROR:
.PHONY: help install demo test test-cpp test-python lint format docs strict cuda clean

help:
	@echo "make demo    simulate, train, compare and write runs/demo/report.html (under 10 minutes on two cores)"
	@echo "make test    the C++ and the Python tests; PYTEST='-k survey' passes options on"
	@echo "make lint    ruff, mypy --strict, clang-format, compiler warnings as errors"
	@echo "make format  let ruff and clang-format rewrite the sources"
	@echo "make docs    the documentation with its gallery, in docs/_build/html"
	@echo "make cuda    install again with the CUDA engines (an error without nvcc)"
	@echo "make clean   remove what was built (.venv and runs stay)"

# Build tools first and the extension without isolation: a second build compiles only what changed.
$(TOOLS): constraints.txt
	PYTHON=$(PYTHON) bash .ci/system
	$(PYTHON) -m venv $(VENV)
	$(pip_install) scikit-build-core pybind11 cmake ninja
	@touch $@

$(INSTALLED): $(TOOLS) $(SOURCES)
	$(pip_install) --no-build-isolation -e '.[test]'
	@touch $@

$(DOCS): $(INSTALLED)
	$(pip_install) --no-build-isolation -e '.[docs]'
	@touch $@

install: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py

test: test-cpp test-python

test-cpp: $(INSTALLED)
	$(BIN)/cmake -S . -B build/tests -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
		-DSEISFAST_TESTS=ON -DSEISFAST_PYTHON=OFF -DSEISFAST_CUDA=OFF
	$(BIN)/cmake --build build/tests
	$(BIN)/ctest --test-dir build/tests --output-on-failure --parallel 2

test-python: $(INSTALLED)
	$(BIN)/python -m pytest $(PYTEST)

lint: strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CPP)

format: $(INSTALLED)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

docs: $(DOCS)
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

# Install again with warnings as errors; the build folder keeps the setting, so later builds are incremental.
strict: $(TOOLS)
	SKBUILD_CMAKE_DEFINE="SEISFAST_WERROR=ON" $(pip_install) --no-build-isolation -e '.[test]'
	@touch $(INSTALLED)

cuda: $(TOOLS)
	SKBUILD_CMAKE_DEFINE="SEISFAST_WERROR=ON;SEISFAST_CUDA=ON" $(pip_install) --no-build-isolation -e '.[test]'
	@touch $(INSTALLED)
	$(BIN)/seisfast info

clean:
	rm -rf build dist docs/_build docs/gallery docs/api/generated docs/sg_execution_times.rst .pytest_cache .mypy_cache .ruff_cache
	rm -f $(INSTALLED) $(DOCS)
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
