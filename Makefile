# Groundswell. `make run` and `make test` are all that a fresh machine with Python 3.11+ needs.
VENV   ?= .venv
PYTHON := $(VENV)/bin/python
UV     := $(shell command -v uv 2>/dev/null)
SOURCES := conftest.py groundswell.py alerts bench cli commands core deploy models samples search servers streams tests web
ARGS   ?=

.PHONY: run test test-training check format live servers secrets bench bench-models lock clean

run: $(VENV)/.run           ## the whole product on the embedded tier, replaying the samples; ARGS is passed on
	$(VENV)/bin/groundswell run $(ARGS)

# Two processes, since half of the tests' time is waiting for servers; a file's tests stay together.
PYTEST := $(PYTHON) -m pytest --numprocesses 2 --dist loadfile

test: $(VENV)/.dev          ## all tests; those that need Java say so where it is missing
	$(PYTEST) --doctest-modules $(ARGS)

check: $(VENV)/.dev         ## format, lint, types, import contracts, spelling
	$(PYTHON) -m ruff format --check $(SOURCES)
	$(PYTHON) -m ruff check $(SOURCES)
	$(PYTHON) -m mypy $(SOURCES)
	$(VENV)/bin/lint-imports
	$(VENV)/bin/codespell $(SOURCES) README.md ARCHITECTURE.md CHANGELOG.md

format: $(VENV)/.dev
	$(PYTHON) -m ruff check --fix $(SOURCES)
	$(PYTHON) -m ruff format $(SOURCES)

test-training: $(VENV)/.train  ## the tests of training too: installs torch, 3 GB
	$(PYTEST) --doctest-modules models/training \
	    $(foreach part,training export report sffsd,tests/unit/test_models_fraud_$(part).py) \
	    $(foreach part,training report adopt prune,tests/unit/test_models_text_$(part).py) $(ARGS)

live: $(VENV)/.dev          ## only the tests on real servers: Java 17 and Maven
	$(PYTEST) -m live $(ARGS)

servers: $(VENV)/.run       ## Kafka, Elasticsearch and PostgreSQL until Ctrl-C, without Docker; ARGS=FOLDER keeps what they hold
	@$(PYTHON) -m servers $(ARGS)

# The folder is the owner's alone; the files can be read by the accounts that containers run as.
SECRETS := postgres_password elastic_password elasticsearch_password kibana_password kibana_encryption_key grafana_password
secrets:                    ## random passwords for docker-compose.yml, in deploy/secrets; those that are there stay
	@mkdir -p deploy/secrets && chmod 700 deploy/secrets
	@for name in $(SECRETS); do \
	    file=deploy/secrets/$$name; \
	    test -s $$file || { head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > $$file && chmod 444 $$file && echo "made $$file"; }; \
	done

bench: $(VENV)/.dev         ## throughput of the worker against the bare models
	$(PYTHON) -m bench.throughput $(ARGS)

bench-models: $(VENV)/.train  ## the text models against the Hugging Face pipeline, torch and OpenVINO
	$(PYTHON) -m bench.models $(ARGS)

# A virtual environment from the lock files: with uv where it is, else with pip.
$(VENV)/.%: locks/%.txt pyproject.toml
ifdef UV
	test -x $(PYTHON) || $(UV) venv --quiet --python '>=3.11,<3.14' $(VENV)
	$(UV) pip install --quiet --python $(PYTHON) --require-hashes -r $<
	$(UV) pip install --quiet --python $(PYTHON) --no-deps -e .
else
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps -e .
endif
	touch $@

lock:                       ## make the lock files anew
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra cpu pyproject.toml -o locks/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra cpu --extra dev pyproject.toml -o locks/dev.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra gpu --extra dev pyproject.toml -o locks/gpu.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra gpu pyproject.toml -o locks/run-gpu.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra cpu --extra dev --extra train --extra bench pyproject.toml -o locks/train.txt

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
