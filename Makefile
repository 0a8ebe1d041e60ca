# `make submission` runs the main job on a synthesised folder, `make test` runs the tests, `make slow` those that take long. Beside these: `make image`
# runs kernel and engine, `make image-training` the rehearsal of a training kernel, on the package versions of Kaggle's image, `make wheels` installs runtimes offline under its Pythons,
# `make push` builds and sends to Kaggle, `make gpu` tells what only a machine with a GPU can.
PYTHON ?= python3
BIN := .venv/bin
IMAGE := .venv-image/bin
ENGINE_TESTS := $(addprefix tests/,audio engine ensemble/test_blend.py ensemble/test_weights.py contest/test_submission.py front_ends \
	inference launch spectrograms whole/test_runs.py) --ignore=tests/inference/backends

submission: .venv/installed
	$(BIN)/python -m soundpost.sample.folder --out sample
	$(BIN)/python build_kernel.py
	$(BIN)/python kernel.py --test-dir sample/test --sample-submission sample/sample_submission.csv --out submission.csv

test: .venv/installed .venv/onnx-files/downloaded
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses auto -m "not slow"
	$(BIN)/python build_kernel.py --check

slow: .venv/installed .venv/onnx-files/downloaded
	$(BIN)/python -m pytest --numprocesses auto -m slow

image: .venv/installed .venv-image/installed
	$(BIN)/python -m soundpost.sample.folder --out sample
	$(BIN)/python build_kernel.py --out sample/kernel.py
	$(IMAGE)/python sample/kernel.py --test-dir sample/test --sample-submission sample/sample_submission.csv --out sample/submission.csv
	$(IMAGE)/python -m pytest --numprocesses auto $(ENGINE_TESTS)

image-training: .venv/installed .venv-image/installed
	$(IMAGE)/python -m pytest --numprocesses auto tests/whole/test_training_kernel.py

wheels: .venv/installed .venv-3.12/installed .venv-3.13/installed
	$(BIN)/python -m soundpost.kernel.wheels dist/wheels
	$(BIN)/python -m pytest tests/whole/test_wheels_by_python.py

gpu: .venv/installed
	$(BIN)/python benchmarks/gpu.py $(OPTIONS)

push: .venv/installed
	$(BIN)/python build_kernel.py --kaggle "$(KAGGLE_USER)" --competition "$(COMPETITION)" $(OPTIONS)
	$(BIN)/python -m soundpost.kernel.push

.venv/installed: requirements.txt requirements-dev.txt requirements-timm.txt requirements-onnx.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements-timm.txt --requirement requirements-onnx.txt --editable .
	touch $@

.venv/onnx-files/downloaded: requirements-onnx-files.txt .venv/installed
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $(@D) --requirement $<
	touch $@

.venv-image/installed: requirements-image.txt
	$(PYTHON) -m venv .venv-image
	$(IMAGE)/python -m pip install --quiet --disable-pip-version-check -r requirements-image.txt
	touch $@

.venv-3.%/installed: requirements-image.txt requirements.txt
	@if command -v python3.$* > /dev/null; then \
		python3.$* -m venv .venv-3.$* && \
		.venv-3.$*/bin/python -m pip install --quiet --disable-pip-version-check -r $(if $(filter 12,$*),$<,requirements.txt) && \
		touch $@; \
	else echo "no Python 3.$* here: its wheels stay untried"; fi

.PHONY: submission test slow image image-training wheels gpu push
