# make demo   venv, install, the main job on the embedded model
# make test   venv, install, tests
# make check  lint and types
# make bench  the benchmarks' figures
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo-out
INSTALLED := $(VENV)/installed

.PHONY: demo test check bench install clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	@touch $@

demo: install
	@rm -rf $(DEMO)
	$(BIN)/videollm make-clips -o $(DEMO)/clips --num-clips 60 --seed 1000
	$(BIN)/videollm caption $(DEMO)/clips -o $(DEMO)/captions
	$(BIN)/videollm answer $(DEMO)/clips/questions.jsonl -o $(DEMO)/answers
	$(BIN)/videollm ask $(DEMO)/clips/1000-00000.mp4 "Describe the video."
	$(BIN)/videollm eval-shapes $(DEMO)/clips

test: install
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python benchmarks/decoding.py --quick
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/pipeline.py

clean:
	rm -rf $(VENV) $(DEMO)
