# Flotilla: the commands that people type. CMake does the work.
.DELETE_ON_ERROR:
.PHONY: help deps configure browser build build-tests demo demo-real demo-clean quick test lanes test-all test-steady tests-table check tidy bench bench-engine bench-fleet bench-gates \
        sweep mutants fuzz docs hooks install packages clean

BIN := build/bin
BUILD := build/release
PREFIX ?= /usr
JOBS ?= $(shell nproc)
export JOBS

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

deps: ## install the Debian packages that are missing
	@./deploy/install-deps.sh

configure: deps
	@cmake --preset release >build-configure.log 2>&1 || \
	    { cat build-configure.log; rm -f build-configure.log; exit 1; }
	@mkdir -p build && mv build-configure.log build/configure.log

build: configure ## the programs into build/bin
	@cmake --build build/release -j $(JOBS) --target programs

build-tests: build
	@cmake --build build/release -j $(JOBS)

demo: configure ## the story with a tiny model; ONCE=1 stops at its end
	@python3 tools/build_time.py build/release $(JOBS) demo_once
	@$(MAKE) --no-print-directory build
	@python3 tools/demo.py $(if $(ONCE),--once)

demo-real: ## the story with SmolLM2-135M (MODEL=path.gguf)
	@./deploy/install-deps.sh $(if $(MODEL),,--model)
	@$(MAKE) --no-print-directory build
	@python3 tools/demo.py --real $(if $(MODEL),--model "$(MODEL)") \
	    $(if $(ONCE),--once)

demo-clean: ## remove what the demo wrote
	rm -rf build/demo build/demo-real

quick: build-tests ## unit and trace tests below 3 CPU seconds: the inner loop
	@tests/run/run.py build/release --below 3 -L 'unit|oracle'

browser:
	@./deploy/install-deps.sh --tests

test: browser build-tests ## unit tests, stories with real fleets, the demo
	@tests/run/run.py build/release -LE lane

lanes: build-tests ## ASan, fuzzing, and what the tree draws of TSan, Arm, rooms and faults
	@. tests/run/seed.sh && \
	    tests/run/run.py build/release -L lane -LE "long$$seed_leaves"

draw: ## what CI draws for HEAD: its lane, its parts, about how many minutes
	@tests/run/draw.py

drawn: export FLOTILLA_PART := drawn
drawn: build-tests ## play what CI draws for HEAD, and no more
	@tests/run/run.py build/release -R "$$(tests/run/draw.py tests)"

test-all: export FLOTILLA_PART := all
test-all: test ## all of both, with what takes hours: every test for Arm, every kill, long fuzzing
	@tests/run/run.py build/release -L lane
	@$(MAKE) sweep fuzz

test-steady: build-tests ## `make test` ten times next to busy loops; on one CPU, with slow syncs
	@tests/run/steady.py

tests-table: build-tests ## docs/tests.md: CPU and wall seconds of each test, as last measured here
	@tests/run/table.py build/release

hooks: ## git asks tools/hooks about each commit's message and size
	@git config core.hooksPath tools/hooks

check: ## format, layers, headers, symbols, circles, generated docs
	@tools/check.sh

tidy: build ## clang-tidy over the product (.clang-tidy); exceptions: tools/tidy.txt
	@tools/tidy.py

sweep: build ## kill updater and agent at every change to the disk, cut the power behind each
	@cmake --build build/release --target sweep

mutants: build-tests ## 500 drawn checks, bounds and syncs, each broken: which test notices?
	@tests/mutants/drawn.py --set border --count 200; border=$$?; \
	    tests/mutants/drawn.py --set rest --count 300 && exit $$border

fuzz: ## each fuzz target for SECONDS (default 60)
	@tests/lanes/fuzz.sh $(or $(SECONDS),60)

bench: build ## benchmarks, JSON in build/bench
	@mkdir -p build/bench && tests/bench/run.sh $(BIN) build/bench

bench-gates: build ## statistical gates against simulated fleets (RUNS=2000 SEED=19)
	@cmake --build build/release --target bench_gates bench_slices bench_rooms
	@mkdir -p build/bench && $(BIN)/bench_gates --json build/bench/gates.json \
	    --runs $(or $(RUNS),2000) --seed $(or $(SEED),19) && \
	    $(BIN)/bench_slices --json build/bench/slices.json \
	    --runs $(or $(RUNS),2000) --seed $(or $(SEED),37) && \
	    $(BIN)/bench_rooms --json build/bench/rooms.json \
	    --runs $(or $(RUNS),2000) --seed $(or $(SEED),37)

bench-fleet: build ## simulated fleets on the real controller; above the descriptors their records alone (DEVICES=1000,3000,10000 CPUS=0,1 ONLY=flood)
	@cmake --build build/release -j $(JOBS) --target flotilla-sim
	@mkdir -p build/bench && python3 tests/bench/bench_fleet.py build/release \
	    build/bench/fleet.json $(if $(DEVICES),--devices $(DEVICES)) \
	    $(if $(CPUS),--cpus $(CPUS)) $(if $(ONLY),--only $(ONLY)) \
	    $(if $(STORE),--store $(STORE)) $(if $(SECONDS),--seconds $(SECONDS)) \
	    $(if $(REPORTS),--reports-per-s $(REPORTS))

bench-engine: build ## speed beside llama.cpp, in turns (ONLY='smollm2-*' MINUTES=120)
	@cmake --build build/release --target bench_form kernel_bench
	@mkdir -p build/bench && python3 tests/bench/bench_engine.py $(BIN) \
	    build/bench $(if $(ONLY),--only '$(ONLY)') $(if $(MINUTES),--minutes $(MINUTES))

docs: ## write docs/reference from the tables, and the page of sizes if there is a build
	@python3 tools/docs.py
	@test ! -d $(BUILD)/base || python3 tools/size.py $(BUILD)

install: ## what was built, below PREFIX (/usr) of DESTDIR: docs/install.md
	@DESTDIR="$(DESTDIR)" cmake --install "$(BUILD)" --prefix "$(PREFIX)"
	@rm -f "$(BUILD)/install_manifest.txt" # root's would be in the way of ours

packages: ## .deb files into build/packages (ARCH='amd64 arm64 armhf' DEBIAN=trixie)
	@deploy/packages.sh $(if $(DEBIAN),--debian $(DEBIAN)) $(ARCH)

clean: ## remove build/
	rm -rf --one-file-system build
