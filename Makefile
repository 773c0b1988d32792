# Steadfast. `make` alone prints this list; `check` never writes; CONTRIBUTING.md says more.
SEED ?= 1
PROFILE ?= quick
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
BIN := target/$(TARGET)/$(PROFILE)/steadfast
# One static binary for everything that starts brokers, the image FROM scratch included.
BUILD := RUSTFLAGS='-C target-feature=+crt-static' cargo build --target $(TARGET)
# Always the whole workspace with the same features: nothing is built twice.
TEST := STEADFAST_BIN=$(CURDIR)/$(BIN) cargo test --workspace --features cluster-tests/mutations,broker/mutations
TIMED := tests/timed.py
export KAFKA_DIR

help: ## prints this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

check: ## format, lints, rustdoc, tidy; changes nothing
	cargo fmt --all --check
	cargo test -p tidy --quiet
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --quiet

test: ## installs what the tests need, runs them all, and prints how long each part took
	$(TIMED) start
	$(TIMED) run 'installation of foreign clients' tests/compat/install.sh
	$(TIMED) run 'installation for the lab' tests/lab/install.sh
	$(TIMED) run 'build of the static binary' $(MAKE) static
	$(TIMED) run 'build of the tests' env $(TEST)
	$(TIMED) run 'foreign clients' tests/compat/run.py --steadfast $(BIN)
	$(TIMED) run docker deploy/docker/test.sh $(BIN)
	$(TIMED) table

script: ## golden scripts whose name has these words, shown whole: make script NAME=acks_zero; UPDATE_SCRIPTS=1 writes them anew
	@scripts=$$(find crates -path '*/testscripts/*$(NAME)*' | sed -E 's#crates/([^/]+)/.*/([^/]+)/testscripts/.*#\1/\2#' | sort -u); \
	[ "$$scripts" ] || { echo "no script has $(NAME) in its name"; exit 1; }; for machine in $$scripts; do SCRIPT='$(NAME)' cargo test -q -p $${machine%/*} --lib $${machine#*/}::tests::every_script || exit; done

sim: ## one run of each simulator, with its log: make sim SEED=7; or many: SEED=0..100000
	SEED=$(SEED) $(TEST) -q --test simulation one_seed -- --test-threads=1

promise: static ## the promises whose name has these words: make promise NAME=full_disk
	$(TEST) --test promises $(NAME)

demo: ## three brokers, a million records with acks=all, the leader killed meanwhile; prints what was lost
	$(BUILD) --profile $(PROFILE) -p broker -p cluster-tests --bins
	$(dir $(BIN))demo

run: static ## a cluster of three on localhost:9092-9094, data in ./data, until Ctrl-C
	$(BIN) dev --brokers 3 --data-dir data --kafka-port 9092
cluster: ## the same with Docker: builds the image, starts deploy/docker/compose.yaml, waits until it serves
	deploy/docker/up.sh

compat: static ## foreign clients, one line a case: make compat ONLY=kcat; on BOOTSTRAP=host:port,...; then on the Kafka in KAFKA_DIR
	tests/compat/install.sh
	tests/compat/run.py $(if $(BOOTSTRAP),--bootstrap $(BOOTSTRAP),--steadfast $(BIN)) --only '$(ONLY)'
	$(if $(KAFKA_DIR),-tests/compat/run.py --kafka $(KAFKA_DIR) --only '$(ONLY)')

chaos: ## the lab breaks a cluster while clients use it, and judges: make chaos ARGS='--duration 5m --scenario power-loss' (docs/guides)
durability: ## the lab counts what is lost for each acks, flush and fault: make durability ARGS='--rounds 5'
chaos durability: static
	tests/lab/install.sh && cargo run --quiet --profile $(PROFILE) -p lab -- $@ --set binary=$(BIN) $(ARGS)

churn: static ## group members that come and go while brokers are killed, and rebalances of 50 members; beside the Kafka in KAFKA_DIR
	tests/compat/install.sh && tests/compat/churn.py --steadfast $(BIN) && tests/compat/rebalance.py --steadfast $(BIN)
copiers: static ## three transactional copiers with random aborts, killed all the time, and the brokers too: make copiers ARGS='--seconds 60'; beside the Kafka in KAFKA_DIR
	tests/compat/install.sh && tests/compat/copiers.py --steadfast $(BIN) $(ARGS)
compat-suites: static ## other clients' own test suites, held against a committed list, on localhost:9092-9094; then on the Kafka in KAFKA_DIR
	tests/compat/suites/install.sh && tests/compat/suites/run.sh $(BIN)
	$(if $(KAFKA_DIR),KAFKA=1 tests/compat/suites/run.sh $(BIN))
bench: ## first figures: throughput, latency, CPU and memory of a cluster of three
	$(BUILD) --release -p broker
	benches/run.sh target/$(TARGET)/release/steadfast
fix: ## formats, and applies what clippy can
	cargo fmt --all && cargo clippy --workspace --all-targets --fix --allow-dirty --quiet
docs: static ## regenerates docs/protocol.md and docs/configuration.md from the tables in the code
	$(BIN) docs apis >docs/protocol.md
	$(BIN) docs configuration >docs/configuration.md
clean: ## removes what was built, and ./data
	cargo clean && rm -rf data
static: ; $(BUILD) --profile $(PROFILE) -p broker
print-bin: ; @echo $(BIN)
.PHONY: static print-bin help check test script sim promise demo run cluster compat compat-suites churn copiers bench chaos durability fix docs clean
