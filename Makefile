# make demo   venv, install, the main job on the embedded model
# make test   venv, install, tests but for the slow ones
# make test-all  all tests: those on clusters of several nodes as well
# make check  lint, types, spelling
# make docs   the site, in site/
# make bench  the benchmarks' figures
# make models the embedded models, trained again
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo-out
# Two files at a time, in the order in which they lie: jobs on Ray, which take longest, come before the many small tests.
# One thread of torch each, for more would wait for each other; and Ray's workers count as much as other processes.
PARALLEL ?= -n 2 --dist loadfile --no-loadscope-reorder
PRODUCT := $(VENV)/product
INSTALLED := $(VENV)/installed
DOCS_INSTALLED := $(VENV)/docs-installed

.PHONY: demo test test-all check docs bench models install clean

install: $(INSTALLED)

# What the product needs, then what its tests and benchmarks need. By uv, which takes a tenth of pip's time; it looks for
# wheels in pip's folders as well. UV_TORCH_BACKEND=cpu takes torch without CUDA from pytorch.org.
PIP_CONFIG = $(BIN)/python -m pip config --quiet get global.find-links 2>/dev/null
UV = UV_FIND_LINKS="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-$$($(PIP_CONFIG))}}" $(BIN)/uv pip install --quiet --compile-bytecode \
	--python $(BIN)/python --constraint constraints.txt

$(PRODUCT): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	@$(UV) --editable .
	@touch $@

$(INSTALLED): $(PRODUCT)
	@$(UV) --editable '.[dev,bench]'
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	@$(UV) --editable '.[docs]'
	@touch $@

demo: $(PRODUCT)
	@rm -rf $(DEMO)
	$(BIN)/videollm demo -o $(DEMO)

test: install
	OMP_NUM_THREADS=1 RAY_worker_niceness=0 $(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-all: test
	$(BIN)/python -m pytest -m slow

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

docs: $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: install
	$(BIN)/python benchmarks/decoding.py --quick
	$(BIN)/python benchmarks/generation.py --repeats 1
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/evals.py
	$(BIN)/python benchmarks/structure.py

# The embedded models from nothing; docs/embedded.md says what each stage is for. About an hour on one core.
RUNS ?= runs
TRAIN = $(BIN)/videollm train --train connector llm --precision bfloat16
models: install
	$(BIN)/videollm train -o $(RUNS)/1-tower --model scratch --train vision --objective patches --steps 800 --batch-size 128 --learning-rate 2e-3
	$(TRAIN) -o $(RUNS)/2-llm --model $(RUNS)/1-tower --connector mlp --stories alone still --num-frames 2 --steps 800 --batch-size 8 --learning-rate 2e-3 --drills 1 --multiple-choice 0
	$(TRAIN) -o $(RUNS)/3-stc --model $(RUNS)/2-llm --connector stc --connector-config depth=1 variant=stc_connector_v35 --num-frames 4 8 --steps 2500 --batch-size 12 --learning-rate 2e-3 --drills 0.3 --multiple-choice 0
	$(TRAIN) -o $(RUNS)/4-stc --model $(RUNS)/3-stc --num-frames 4 8 8 8 16 32 --steps 2000 --batch-size 10 --learning-rate 1.5e-3 --drills 0.2 --multiple-choice 0.05
	$(TRAIN) -o $(RUNS)/5-stc --model $(RUNS)/4-stc --num-frames 4 8 8 8 16 32 --steps 1500 --batch-size 10 --learning-rate 1e-3 --drills 0.2 --multiple-choice 0.05
	$(BIN)/videollm train -o $(RUNS)/6-resampler3d --model $(RUNS)/5-stc --connector resampler3d --connector-config num_queries=9 frames_per_pack=2 num_heads=4 --train connector --objective tokens --num-frames 4 --steps 1200 --batch-size 16 --learning-rate 2e-3
	$(TRAIN) -o $(RUNS)/7-resampler3d --model $(RUNS)/6-resampler3d --num-frames 4 8 8 8 16 32 --steps 1200 --batch-size 10 --learning-rate 7e-4 --drills 0.2 --multiple-choice 0.05

clean:
	rm -rf $(VENV) $(DEMO) site
