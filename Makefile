# What a person types. The build itself is CMake's: CMakePresets.json has its settings.
#
#   make          build everything into build/
#   make run      install what is missing, build, format ./tifs-data if there is none, mount it at ./mnt
#   make run-cluster  the same on PD and a TiKV-protocol store on this machine, mounted at ./mnt1 and ./mnt2
#   make test     install what is missing, build, run the suite (short lengths)
#   make test-all the same at full length
#   make asan     build and run the tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   make tsan     build and run the tests under ThreadSanitizer
#   make package  a Debian package in build/
#   make format   clang-format over the sources
#   make clean    remove build/

BUILD_DIR ?= build
JOBS ?= $(shell nproc)

# A clone elsewhere finds what this one compiled: the checkout's own path is left out of ccache's key.
export CCACHE_BASEDIR ?= $(CURDIR)
export CCACHE_NOHASHDIR ?= 1
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(JOBS)

.PHONY: all build configure run run-cluster test test-all asan tsan package format clean setup setup-test
all: build

configure:
	@cmake --preset release -B $(BUILD_DIR) --log-level=NOTICE

build: configure
	cmake --build $(BUILD_DIR)

setup:
	@tools/setup

setup-test:
	@tools/setup --test

run: setup
	@$(MAKE) --no-print-directory configure
	cmake --build $(BUILD_DIR) --target tifs
	@tools/run $(BUILD_DIR)

run-cluster: setup
	@$(MAKE) --no-print-directory configure
	cmake --build $(BUILD_DIR) --target tifs
	@tools/run_cluster $(BUILD_DIR)

test: setup-test
	@tools/suite --build-dir $(BUILD_DIR)

test-all: setup-test
	@tools/suite --build-dir $(BUILD_DIR) --long

asan tsan: setup-test
	@tools/suite --build-dir $(BUILD_DIR) --only $@

package: setup
	@$(MAKE) --no-print-directory build
	cd $(BUILD_DIR) && cpack -G DEB

format: setup-test
	python3 -B tests/style/format_test.py --fix

clean:
	rm -rf $(BUILD_DIR)
