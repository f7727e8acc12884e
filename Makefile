# What you type; each target says what it does with `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
TIERS := unit scripted sshd browser lab vm

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## make .venv with orch and what its developers need

.venv/.ready: pyproject.toml scripts/setup
	@scripts/setup
	@touch $@

demo: setup ## from nothing to a model's answer through two rehearsal hosts; ENGINE=vllm or llamacpp
	@scripts/demo $(ENGINE)

check: setup ## format, lint, types and fast tests, as CI and pre-commit run them
	@scripts/check

test: setup ## every tier of tests, rehearsal hosts included
	@scripts/test $(TIERS)

picture: setup ## make docs/up.svg anew from the journal beside it
	@$(BIN)/python scripts/picture.py docs/up.jsonl docs/up.svg

record: setup ## record that run anew, on rehearsal hosts
	@scripts/record

bench: setup ## measure against other tools in one run, and print ratios
	@$(BIN)/python -m benchmarks

clean: ## remove what the other targets made here; rehearsal hosts too
	@if [[ -x $(BIN)/orch ]] && $(BIN)/orch lab ls | grep -q '^lab '; then $(BIN)/orch lab down; fi
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup demo check test picture record bench clean
