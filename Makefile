# The only door: make help lists what can be done.
SHELL := /bin/bash
PREFIX ?= /usr/local
DESTDIR ?=
SWIFT ?= swift
# Of the debug build.
DEBUG_FLAGS ?=
SOURCES := Package.swift Sources Tests Watcher

# Named one by one: a plain `swift build` also builds the tools of every dependency, protoc among them.
PRODUCTS := dcf-gateway dcf dcf-watcher PythonWatcher
# The tests of the modules with C, raw memory or threads of their own.
SANITIZED := '^(CallsTests|ControlPlaneTests|EnvironmentsTests|GRPCTests|GatewayGRPCTests|GatewayHTTPTests|LinkTests|PlatformTests|WatcherLinkTests)\.'
RUN_SANITIZED := dcfPackageTests.xctest --testing-library swift-testing --filter $(SANITIZED)
# It knows Swift's calling convention, and comes with Swift.
CLANG ?= clang

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: deps
deps: ## Install the missing Debian packages (what building and testing need)
	@scripts/install-dependencies.sh build test

.PHONY: build
build: ## Build the programs: .build/release/{dcf,dcf-gateway,dcf-watcher}
	@scripts/install-dependencies.sh build
	@for product in $(PRODUCTS); do $(SWIFT) build -c release --product $$product || exit; done

.PHONY: watcher-folder
watcher-folder: ## Build what every image of a function has as /dcf/watcher: .build/watcher
	@scripts/install-dependencies.sh build
	@for product in dcf-watcher PythonWatcher; do $(SWIFT) build -c release --product $$product || exit; done
	scripts/watcher-folder.sh .build/watcher

.PHONY: images
images: build ## Build the images dcf/watcher and dcf/gateway on the Docker engine at hand
	scripts/images.sh watcher gateway

.PHONY: debug
debug:
	@for product in $(PRODUCTS) dcfPackageTests; do $(SWIFT) build $(DEBUG_FLAGS) --product $$product || exit; done

.PHONY: test
test: deps check-generated lint debug ## Run every test, at a length that suits every change
	$(SWIFT) test --skip-build
	scripts/end-to-end.sh

.PHONY: test-end-to-end
test-end-to-end: debug ## Only the tests that start the real programs; ARGS go to pytest
	scripts/end-to-end.sh $(ARGS)

.PHONY: test-long
test-long: deps build ## Run the faults of docs/promises.md at full length, on a release build
	DCF_TEST_FULL=1 DCF_BIN=$(CURDIR)/.build/release scripts/end-to-end.sh $(ARGS)

.PHONY: demo
demo: ## Deploy examples/ocr on a scratch gateway and let it read a page
	@scripts/demo.sh

.PHONY: bench
bench: build ## Measure this gateway against a bare server on the same gRPC library
	@scripts/install-dependencies.sh bench
	python3 Tests/Benchmark/bench.py $(ARGS)

.PHONY: bench-execution
bench-execution: build ## Measure batching, cold starts, streams, chains, overruns, updates and scale against their goals
	@scripts/install-dependencies.sh bench
	python3 Tests/Benchmark/execution.py $(ARGS)

.PHONY: soak
soak: build ## Do everything at once for 30 minutes and count what was unexpected and what grew (ARGS="--seconds 60")
	@scripts/install-dependencies.sh bench
	python3 Tests/Benchmark/soak.py $(ARGS)

.PHONY: generate
generate: ## Generate the Swift messages and the descriptor set from Protos/
	scripts/generate.sh

.PHONY: check-generated
check-generated: ## Fail when the committed generated code is stale
	scripts/generate.sh --check

.PHONY: format
format: ## Format the Swift code, and sort the imports of the Python code
	$(SWIFT) format --in-place --recursive $(SOURCES)
	@scripts/ruff.sh check --select I --fix

.PHONY: lint
lint: ## Fail when the Swift code is not formatted, or the Python code breaks a rule of ruff.toml
	$(SWIFT) format lint --strict --recursive $(SOURCES)
	@scripts/ruff.sh check --output-format concise

.PHONY: nightly
nightly: deps ## Run what is too long for each change: asan, tsan, test-long, soak (ARGS="asan tsan" runs some)
	@scripts/nightly.sh $(ARGS)

# The test program alone is built: what it runs beside itself needs no sanitizer.
.PHONY: asan
asan: ## Run the tests of the modules with C, raw memory or threads of their own under AddressSanitizer
	$(SWIFT) build --sanitize=address --scratch-path .build-asan --product dcfPackageTests
	ASAN_OPTIONS=detect_leaks=0 .build-asan/debug/$(RUN_SANITIZED)

.PHONY: tsan
tsan: ## The same under ThreadSanitizer
	$(SWIFT) build --sanitize=thread --scratch-path .build-tsan --product dcfPackageTests
	$(CLANG) -Wall -Wextra -Werror -O1 -shared -fPIC -o .build-tsan/order.so scripts/tsan.c
	LD_PRELOAD=$(CURDIR)/.build-tsan/order.so \
	TSAN_OPTIONS="suppressions=$(CURDIR)/scripts/tsan.supp halt_on_error=1" .build-tsan/debug/$(RUN_SANITIZED)

.PHONY: install
install: ## Install what make build built below PREFIX (default /usr/local); DESTDIR is honoured
	@scripts/install.sh install "$(DESTDIR)" "$(PREFIX)"

.PHONY: uninstall
uninstall: ## Remove what make install installed
	@scripts/install.sh uninstall "$(DESTDIR)" "$(PREFIX)"

.PHONY: clean
clean: ## Remove every build
	rm -rf .build .build-asan .build-tsan
