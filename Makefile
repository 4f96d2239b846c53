# Each target is one line that can be pasted.
.PHONY: setup test lint types layers sim fault bench docs demo
setup: ; python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev,bench]'
demo: ; .venv/bin/majula demo
test: ; .venv/bin/python -m pytest
lint: ; .venv/bin/ruff check .
types: ; .venv/bin/mypy
layers: ; .venv/bin/lint-imports
sim: ; .venv/bin/python -m tests.simulation tables --seeds 200
fault: ; .venv/bin/python -m pytest tests/actors tests/cluster
bench: ; .venv/bin/python -m benchmarks peers
docs: ; .venv/bin/python -m tests.documents.pages
