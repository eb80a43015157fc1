# Two commands matter: `make demo` does the main job, `make test` proves it. Everything else serves them.
.PHONY: demo test lint figures docs clean
.DEFAULT_GOAL := demo

VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready
WHOLE := $(VENV)/.whole

demo: $(READY)
	@$(BIN)/sextant demo

test: lint
	@$(BIN)/pytest

lint: $(WHOLE)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

figures: $(WHOLE)
	@for script in $$(ls benchmarks/*.py | grep -v report.py); do $(BIN)/python $$script --quick || exit 1; done

docs: $(WHOLE)
	@$(BIN)/python docs/cli.py

clean:
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache

$(READY): pyproject.toml constraints.txt .ci/python
	@python=$$(.ci/python) && echo "make: creating $(VENV) with $$($$python --version)" && $$python -m venv $(VENV)
	@echo "make: installing the pinned packages (about 1.5 GB, a minute or two)"
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	@touch $@

# Each flavour's own library, TensorRT's compiler for the CPU, and the linters: the tests convert real models.
$(WHOLE): $(READY)
	@echo "make: installing what the tests need besides (PyTorch, XGBoost, ...: about 2 GB, a minute or two)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@
