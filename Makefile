# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test check format docs bench bench-denoise bench-train bench-serve bench-ingest bench-swap bench-fresh bench-grow bench-console chaos chaos-long clean
.DELETE_ON_ERROR:

demo: $(VENV)/.runtime  ## set up, then play a watch log through the whole loop (DATA=path for a KuaiRand log)
	$(BIN)/winnow demo $(if $(DATA),--data $(DATA)) $(ARGS)

test: $(VENV)/.dev  ## set up, then run every test
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev  ## format, lint, types, import rules, docs in step, alerts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m winnow.settings_page --check docs/configuration.md
	$(BIN)/python -m winnow.metrics_page --check docs/metrics.md
	$(BIN)/python deploy/grafana/make_dashboards.py --check
	deploy/prometheus/check.sh

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev  ## write the generated pages
	$(BIN)/python -m winnow.settings_page docs/configuration.md
	$(BIN)/python -m winnow.metrics_page docs/metrics.md
	$(BIN)/python deploy/grafana/make_dashboards.py

bench: bench-train bench-serve bench-ingest bench-swap bench-fresh bench-grow bench-console bench-denoise  ## every benchmark

bench-denoise: $(VENV)/.dev  ## methods against each other (ARGS=--quick for a minute; the whole takes most of an hour)
	$(BIN)/winnow bench denoise $(ARGS)

bench-train: $(VENV)/.dev  ## training speed on one thread (ARGS=--quick for a smoke run)
	$(BIN)/winnow bench train $(ARGS)

bench-serve: $(VENV)/.dev  ## scores a second against what they must cost, and peers (needs wrk; ARGS=--quick)
	$(BIN)/winnow bench serve $(ARGS)

bench-ingest: $(VENV)/.dev  ## events a second to disk, and from the log to learned (needs wrk; ARGS=--quick)
	$(BIN)/winnow bench ingest $(ARGS)

bench-swap: $(VENV)/.dev  ## latency while versions change, and memory after 500 changes (needs wrk; ARGS=--quick)
	$(BIN)/winnow bench swap $(ARGS)

bench-fresh: $(VENV)/.dev  ## from acknowledged to served, in the whole loop (ARGS=--quick)
	$(BIN)/winnow bench fresh $(ARGS)

bench-grow: $(VENV)/.dev  ## what a step, a version and a score cost as tables grow to 10 M rows (24 GB of memory; ARGS=--quick)
	$(BIN)/winnow bench grow $(ARGS)

bench-console: $(VENV)/.dev  ## a long visit, scores beside it, the cost of metrics, the first page (chromium, wrk; ARGS=--quick)
	$(BIN)/winnow bench console $(ARGS)

chaos: $(VENV)/.dev  ## break everything and compare a ledger with what is on disk (minutes; ARGS='--only trainer-killed')
	$(BIN)/winnow bench chaos $(ARGS)

chaos-long: $(VENV)/.dev  ## the same with the counts that claims need (hours)
	$(BIN)/winnow bench chaos --long $(ARGS)

clean:
	rm -rf $(VENV) .winnow

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Winnow into $(VENV) (about 1.2 GB with torch; a minute or two)"
	$(PIP) --editable '.[train]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Winnow and its development tools into $(VENV)"
	$(PIP) --editable '.[train,bench,dev]'
	@touch $@ $(VENV)/.runtime
