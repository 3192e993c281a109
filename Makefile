# The two commands of the README are `make up` and `make test`; the rest is what they are made of.
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest

.PHONY: up down venv machine machine-for-tests test test-all check bench lock rpc picture clean

up: machine venv ## start the whole system and say how to use it
	$(BIN)/arktos up

down: ## stop it
	$(BIN)/arktos down

venv: $(VENV)/.done ## everything Python needs, and `arktos`, in .venv

$(VENV)/.done: requirements.lock pyproject.toml
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

machine: ## what Python cannot bring: kubectl, and as root what a node runs containers and virtual machines with
	@scripts/machine.sh

machine-for-tests: ## the same, and what the tests build images and serve them with
	@scripts/machine.sh test

test: machine-for-tests venv check ## the suite, without what takes minutes; what fails in the crowd is named, and must pass alone
	$(PYTEST) -n auto --dist loadscope -m "not heavy" || { [ $$? -eq 1 ] && $(PYTEST) --last-failed; }

test-all: machine-for-tests venv check ## the whole suite
	$(PYTEST) -n auto --dist loadscope

check: venv ## types, style, import order
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: venv ## every benchmark, JSON lines on standard output
	@for each in bench/[a-z]*.py; do $(BIN)/python $$each || exit 1; done

lock: ## pins every dependency, with hashes and without addresses
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock

rpc: venv ## the Python of the gRPC messages, from their .proto files
	$(BIN)/python scripts/generate_rpc.py

picture: venv ## draws the README's picture
	$(BIN)/python scripts/draw_system.py > docs/system.svg

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
