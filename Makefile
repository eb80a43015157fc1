# Two commands matter: `make demo` does the main job, `make test` proves it. Everything else serves them.
.PHONY: demo radio aircraft test lint figures docs clean
.DEFAULT_GOAL := demo

VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready
WHOLE := $(VENV)/.whole

demo: $(READY)
	@$(BIN)/sextant demo

# DATA is the folder of the LocaRDS messages: `make aircraft DATA=path/to/mlat_locards`.
aircraft: $(READY)
	@$(BIN)/python examples/aircraft/run.py --data $(or $(DATA),../shared/data/mlat_locards)

radio: $(WHOLE)
	@$(BIN)/python examples/radio/run.py

# Two at a time, each with the Tritons of its own files: most of a test is waiting for a server. Then what needs quiet.
# In the order of their folders: e2e, whose files take longest, comes first, and what is quick fills up the end.
test: lint
	@$(BIN)/pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder -m "not alone"
	@$(BIN)/pytest -m alone

lint: $(WHOLE)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

figures: $(WHOLE)
	@$(BIN)/python benchmarks/figures.py

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
$(WHOLE): $(READY) .ci/packages
	@.ci/packages
	@echo "make: installing what the tests need besides (PyTorch, XGBoost, ...: about 2 GB, a minute or two)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@
