# SPDX-License-Identifier: GPL-2.0-or-later

export PATH := $(PATH):$(CURDIR)/.native/cargo/bin

# One profile for everything that is built here, so that `check`, `test` and `bench` share their dependencies.
PROFILE := --release

# What `check` hands to `kop check`, and `fuzz` to libFuzzer: make check ARGS="rotate --arch x86_64"
ARGS :=
TARGET := all

# How long `nightly` takes, and where it and its report are.
MINUTES := 300
NIGHTLY := nightly

# A crate outside the workspace that checks an operation of its own.
# Its test runs for a second: optimising for that would take minutes.
EXAMPLE_ENV := CARGO_PROFILE_RELEASE_OPT_LEVEL=1
EXAMPLE := --manifest-path examples/own-operation/Cargo.toml
EXAMPLE_TARGET := --target-dir $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)

# The programs of corpus/programs, compiled for eBPF: what tests and `kop run` take.
PROGRAMS_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/programs
PROGRAMS := $(patsubst corpus/programs/%.bpf.c,$(PROGRAMS_DIR)/%.o,$(wildcard $(addprefix corpus/programs/,*.bpf.c micro/*.bpf.c apps/*.bpf.c)))
BENCH_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/bench
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -ffreestanding -nostdlibinc -fno-strict-aliasing -ffile-prefix-map=$(CURDIR)=. \
	-Wall -Wextra -Wno-unused-parameter

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help deps programs check replay nightly test fmt clippy unit example fuzz fuzz-build fuzz-short fuzz-target bench check-arm64 clean distclean fuzz-deps test-deps

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## Install what is missing: Debian packages, then the C and C++ libraries (once, into .native)
	@scripts/deps
	@scripts/native-libs

programs: deps $(PROGRAMS) ## Compile corpus/programs for eBPF, into target/programs

$(PROGRAMS_DIR)/%.o: corpus/programs/%.bpf.c $(wildcard corpus/programs/include/*.h)
	@mkdir -p $(@D)
	@echo "programs: $<"; clang $(BPF_CFLAGS) -Icorpus/programs/include -c $< -o $@

check: deps ## Main job: does native code agree with its proof sequence, for every operation? (ARGS=..)
	cargo run --locked $(PROFILE) --bin kop -- check $(ARGS)

replay: deps ## Do all cases of corpus/regressions hold?
	cargo run --locked $(PROFILE) --bin kop -- replay

nightly: deps ## The whole nightly job: replay, mutants, campaign, report, update of the corpus (MINUTES=.. NIGHTLY=DIR ARGS=..)
	cargo run --locked $(PROFILE) --bin kop -- ci nightly --minutes $(MINUTES) --dir $(NIGHTLY) $(ARGS)

test: fmt clippy unit fuzz-short example ## Everything that CI runs

fmt: ## Is the code formatted?
	cargo fmt --all --check
	cargo fmt $(EXAMPLE) --check

clippy: deps ## Clippy, with warnings denied
	cargo clippy --locked $(PROFILE) --workspace --all-targets -- -D warnings
	$(EXAMPLE_ENV) cargo clippy --locked $(PROFILE) $(EXAMPLE) $(EXAMPLE_TARGET) --all-targets -- -D warnings

unit: test-deps programs ## All tests, the licence check and the comparison with SLEIGH among them
	cargo test --locked $(PROFILE) --workspace

example: deps ## The example of an operation outside the workspace
	$(EXAMPLE_ENV) cargo test --locked $(PROFILE) $(EXAMPLE) $(EXAMPLE_TARGET)

fuzz-build: fuzz-deps ## Build every fuzz target
	@scripts/fuzz-short --build-only

fuzz-short: fuzz-deps ## Build every fuzz target and run each for five seconds
	@scripts/fuzz-short

fuzz-target: fuzz-deps ## Build one fuzz target and run it for five seconds: make fuzz-target TARGET=rotate
	@scripts/fuzz-short --only $(TARGET)

fuzz: fuzz-deps ## Fuzz until something is found: make fuzz TARGET=rotate (ARGS=.. for libFuzzer)
	options=$$(scripts/fuzz-options corpus/fuzz/$(TARGET).options) && cargo fuzz run --sanitizer none $(TARGET) -- $$options $(ARGS)

fuzz-deps: deps
	@scripts/deps --fuzz

test-deps: deps
	@scripts/deps --tests

bench: deps ## States per second, per engine; programs on our JIT, the kernel's, rbpf's and as native code (target/bench/)
	@mkdir -p $(BENCH_DIR)
	cargo bench --locked -p kop-harness --bench states -- --json $(BENCH_DIR)/states.json
	cargo run --locked $(PROFILE) --bin kop -- bench --suite micro --report $(BENCH_DIR)/micro.json --html $(BENCH_DIR)/micro.html $(ARGS)
	cargo run --locked $(PROFILE) --bin kop -- bench --suite apps --report $(BENCH_DIR)/apps.json --html $(BENCH_DIR)/apps.html $(ARGS)

check-arm64: ## Are the crates right on ARM64 hosts? Runs what there are cross tools for, and says what is missing
	@scripts/check-arm64

clean: ## Remove what cargo built; the libraries in .native stay
	cargo clean

distclean: clean ## Remove the libraries and tools in .native as well
	rm -rf .native
