# Two commands: `make submission` runs the main job on a synthesised folder, `make test` runs every test.
PYTHON ?= python3
BIN := .venv/bin

submission: .venv/installed
	$(BIN)/python -m soundpost.sample --out sample
	$(BIN)/python build_kernel.py
	$(BIN)/python kernel.py --test-dir sample/test --sample-submission sample/sample_submission.csv --out submission.csv

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest
	$(BIN)/python build_kernel.py --check

.venv/installed: requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

.PHONY: submission test
