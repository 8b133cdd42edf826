# The front door. Meson builds; this page only knows the words.
MAKEFLAGS += --no-print-directory
BUILD ?= build
PYTHON := /usr/bin/python3

.PHONY: all deps build run test asan tsan help
all: build

deps:            ## install what is missing from Debian's packages
	@tools/deps

build: deps      ## compile everything into build/
	@tools/build $(BUILD)

run: build       ## the main job before your eyes: server, agent, a configuration pushed; Ctrl-C ends it
	@tools/run $(BUILD)

test: build      ## every test; the last line is the totals
	@$(PYTHON) tools/test $(BUILD)

asan:            ## the same tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/deps && tools/build build/asan -Db_sanitize=address,undefined && TEST_KILLS=$${TEST_KILLS:-5} $(PYTHON) tools/test build/asan

tsan:            ## the same tests under ThreadSanitizer (clang)
	@tools/deps && CC=clang-14 tools/build build/tsan -Db_sanitize=thread && TEST_KILLS=$${TEST_KILLS:-5} $(PYTHON) tools/test build/tsan

help:            ## this list
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/  make \1\t\2/p; s/^\([a-z]*\):  *## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18
