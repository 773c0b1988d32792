# Steadfast. `make` alone prints this list; `check` never writes; README.md says more.
SHELL := /bin/bash
SEED ?= 1
BOOTSTRAP ?=
KAFKA_DIR ?=
PROFILE ?= quick
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
BIN := target/$(TARGET)/$(PROFILE)/steadfast
# One static binary for everything that starts brokers, the image FROM scratch included.
BUILD := RUSTFLAGS='-C target-feature=+crt-static' cargo build --target $(TARGET)
export KAFKA_DIR

help: ## prints this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

check: ## format, lints, rustdoc, tidy; changes nothing
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --quiet
	cargo test -p cluster-tests --test tidy --quiet

test: ## installs what the tests need and runs them all
	tests/compat/install.sh
	$(BUILD) --profile $(PROFILE) -p broker
	STEADFAST_BIN=$(CURDIR)/$(BIN) cargo test --workspace --features cluster-tests/mutations
	tests/compat/on-own-cluster.sh $(BIN)
	deploy/docker/test.sh $(BIN)

sim: ## one run of each simulator, with its log: make sim SEED=7
	SEED=$(SEED) cargo test -q -p cluster-tests --test simulation --test group_simulation -- --nocapture one_seed

demo: ## three brokers, a million records with acks=all, the leader killed meanwhile; prints what was lost
	$(BUILD) --profile $(PROFILE) -p broker -p cluster-tests --bins
	$(dir $(BIN))demo

run: ## a cluster of three on localhost:9092-9094, data in ./data, until Ctrl-C
	$(BUILD) --profile $(PROFILE) -p broker
	$(BIN) dev --brokers 3 --data-dir data --kafka-port 9092

cluster: ## the same with Docker: builds the image, starts deploy/docker/compose.yaml, waits until it serves
	deploy/docker/up.sh

compat: ## foreign clients, one line a case, on a cluster of its own or BOOTSTRAP=host:port,...; then on the Kafka in KAFKA_DIR
	tests/compat/install.sh
	$(BUILD) --profile $(PROFILE) -p broker
	BOOTSTRAP=$(BOOTSTRAP) tests/compat/on-own-cluster.sh $(BIN)
	$(if $(KAFKA_DIR),-KAFKA=1 tests/compat/on-own-cluster.sh $(BIN))

churn: static ## group members that come and go while brokers are killed, and rebalances of 50 members; beside the Kafka in KAFKA_DIR
	tests/compat/install.sh && tests/compat/churn.py --steadfast $(BIN) && tests/compat/rebalance.py --steadfast $(BIN)

compat-suites: static ## other clients' own test suites, held against a committed list, on localhost:9092-9094; then on the Kafka in KAFKA_DIR
	tests/compat/suites/install.sh && tests/compat/suites/run.sh $(BIN)
	$(if $(KAFKA_DIR),KAFKA=1 tests/compat/suites/run.sh $(BIN))

bench: ## first figures: throughput, latency, CPU and memory of a cluster of three
	$(BUILD) --release -p broker
	benches/run.sh target/$(TARGET)/release/steadfast

fix: ## formats, and applies what clippy can
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --quiet

docs: static ## regenerates docs/protocol.md and docs/configuration.md from the tables in the code
	$(BIN) docs apis >docs/protocol.md
	$(BIN) docs configuration >docs/configuration.md

clean: ## removes what was built, and ./data
	cargo clean
	rm -rf data

static:
	$(BUILD) --profile $(PROFILE) -p broker

print-bin:
	@echo $(BIN)

.PHONY: static print-bin help check test sim demo run cluster compat compat-suites churn bench fix docs clean
.DEFAULT_GOAL := help
