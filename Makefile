# The front door. Meson builds; this page only knows the words.
MAKEFLAGS += --no-print-directory
BUILD ?= build
PYTHON := /usr/bin/python3
SUITE = { tools/build $(1) $(2) || { echo "the build failed: see above" >&2; echo "0 passed, 1 failed, 0 skipped"; exit 1; }; } && \
	$(PYTHON) tools/test $(1)

.PHONY: all deps build run test bench leak-corpus sim-long asan tsan help
all: build

deps:   ## install what is missing from Debian's packages
	@tools/deps

build: deps  ## compile everything into build/
	@tools/build $(BUILD)

run: build   ## the main job before your eyes; Ctrl-C ends it; PORT_BASE=5320 moves the ports
	@tools/run $(BUILD)

test: deps   ## build, run every test; the last line is the totals
	@$(call SUITE,$(BUILD),)

BENCHES = $(patsubst bench/%.py,bench-%,$(wildcard bench/*.py))
bench: build   ## measure against goals and peers; make bench-NAME measures one of bench/NAME.py
	@status=0; for b in $(filter-out bench-rows bench-rows_test,$(BENCHES)); do $(MAKE) $$b || status=1; done; exit $$status

bench-%: build
	@$(PYTHON) bench/$*.py $(BUILD)

leak-corpus: build   ## leaks found, missed and called without reason, beside Go's own profile
	@$(PYTHON) tools/leak-corpus $(BUILD)

sim-long: build   ## a million random programs against the model of channels; make test runs 20,000
	@$(BUILD)/lib/runnel/runnel-random 1000000

asan: deps   ## the same tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(call SUITE,build/asan,-Db_sanitize=address$(comma)undefined -Db_lundef=false)

tsan: deps   ## the same tests under ThreadSanitizer (clang)
	@export CC=clang-14; $(call SUITE,build/tsan,-Db_sanitize=thread -Db_lundef=false)

help:   ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

comma := ,
