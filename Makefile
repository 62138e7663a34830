# To try Burnish: `make run`. After a change: `make check` and `make test`.
# With another interpreter: `make run PYTHON=python3.12`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Without cached bytecode, every process of the service would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check pictures fuzz api-cases bench crash soak soak-segments fuzz-files fuzz-coverage clean

help:
	@echo 'make run            install Burnish into $(VENV), then run its demo'
	@echo 'make test           install what the tests need, then run all checks and all tests'
	@echo 'make check          lint, formatting, types and layers'
	@echo 'make bench          install the peers and run all benchmarks, 30 minutes at most'
	@echo 'make crash          kill, fail and power off at every place (CRASH="stick power": some campaigns)'
	@echo 'make soak           a busy day of the service in SOAK_MINUTES=15'
	@echo 'make soak-segments  segments of the spool filled, released, rewritten, for SOAK_MINUTES=15'
	@echo 'make fuzz           attack a service for SECONDS=60, beside a well-behaved client'
	@echo 'make api-cases      API_CASES=7300 random calls of the interface for programs, from its document'
	@echo 'make fuzz-files     FUZZ_COUNT=2000 damaged files for each reader'
	@echo 'make fuzz-coverage  coverage-guided fuzzing of each parser for SECONDS=60 (needs atheris)'
	@echo 'make clean          remove $(VENV), installed test peers and caches'

run: $(VENV)/.installed
	$(BIN)/burnish demo

test: $(VENV)/.installed-dev
	tests/install
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

pictures: $(VENV)/.installed-dev
	cd tests && ../$(BIN)/python pictures.py

SECONDS ?= 60

fuzz: $(VENV)/.installed-dev
	cd tests && ../$(BIN)/python -m fuzz.run --seconds $(SECONDS)

bench: $(VENV)/.installed-bench
	benchmarks/install
	$(BIN)/python benchmarks/run.py

crash: $(VENV)/.installed-dev
	$(BIN)/python tests/crash/run.py $(CRASH)

SOAK_MINUTES ?= 15
soak: $(VENV)/.installed-dev
	$(BIN)/python tests/soak/run.py --minutes $(SOAK_MINUTES)

soak-segments: $(VENV)/.installed-dev
	$(BIN)/python tests/soak/segments.py --minutes $(SOAK_MINUTES)

API_CASES ?= 7300
api-cases: $(VENV)/.installed-dev
	$(BIN)/python -W ignore tests/unit/web/api_cases.py --cases $(API_CASES)

FUZZ_COUNT ?= 2000
fuzz-files: $(VENV)/.installed-dev
	$(BIN)/python tests/damage/run.py --count $(FUZZ_COUNT)

fuzz-coverage: $(VENV)/.installed-fuzz
	$(BIN)/python tests/damage/cover.py --seconds $(SECONDS)

clean:
	rm -rf $(VENV) tests/peers/node_modules build dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find service tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: $(VENV)/.created pyproject.toml
	$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml
	$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(VENV)/.created pyproject.toml
	$(PIP) install --editable '.[bench]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-fuzz: $(VENV)/.created pyproject.toml
	$(PIP) install --editable '.[dev,fuzz]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-dev

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || \
	  { echo 'Burnish needs Python 3.11 or later; $(PYTHON) was not found.' >&2; \
	    echo 'Install it, or name another one: make run PYTHON=/path/to/python3.' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Burnish needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	    echo 'Name another one: make run PYTHON=python3.12.' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo '$(PYTHON) lacks the venv module; on Debian: apt-get install python3-venv.' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
