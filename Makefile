# Doors for developers and CI. `make demo` and `make test` work on an empty Linux machine
# with Python 3.10 or later, a C compiler and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRACES ?= traces
SECONDS ?= 600
SEED ?= 1
POGOCACHE ?=
KILLS ?= 1000
JOBS ?= $(shell nproc)

.PHONY: all demo test soak test-c test-kill test-damage test-linear test-py stress lint bench-origin hitratio hitratio-check \
	never-fails overwrites clean

all: $(VENV)/installed-dev

# The extension is built in place, so that everything runs on this checkout's sources.
$(VENV)/installed-%: pyproject.toml setup.py build_ffi.py $(wildcard csrc/* lilcache/*.[ch])
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$*]'
	touch $@

demo: $(VENV)/installed-demo
	$(BIN)/python -m benchmarks.demo

# All suites of tests/suites/table.py, with the seconds of each.
test: $(VENV)/installed-dev
	$(BIN)/python -m tests.suites gate

test-c:
	$(MAKE) -C tests/c run

# Threads under ThreadSanitizer, races put in that it must report, and valgrind.
.PHONY: test-sanitize
test-sanitize:
	$(MAKE) -C tests/sanitize -j$(JOBS) run PYTHON=$(PYTHON)

# Lines and branches of csrc/ that the tests in C reach; fails below 95 %, and unless
# tests/coverage/uncovered.txt says why each of the others is not reached.
.PHONY: coverage
coverage: $(VENV)/installed-dev
	$(MAKE) -C tests/coverage -j$(JOBS) run PYTHON=$(abspath $(BIN)/python)

# The tests tested: every one of the seeded bugs in tests/seeded is to be caught.
.PHONY: test-seeded
test-seeded: $(VENV)/installed-dev
	$(BIN)/python -m tests.seeded

# A process killed before every store into the segment.
test-kill:
	$(MAKE) -C tests/kill -j$(JOBS) run PYTHON=$(PYTHON)

# Bits of a segment flipped, and bursts of damage; writers of random bytes in campaigns.
test-damage:
	$(MAKE) -C tests/damage -j$(JOBS) run

# Whether histories of concurrent operations are linearizable.
test-linear:
	$(MAKE) -C tests/linear -j$(JOBS) run

# A read and a write, interleaved at every access to the segment.
.PHONY: test-interleave
test-interleave:
	$(MAKE) -C tests/interleave -j$(JOBS) run

# Instructions of each call, counted by callgrind; a tenth over budget.json fails.
.PHONY: test-instructions
test-instructions: $(VENV)/installed-dev
	$(BIN)/python -m tests.instructions

# Models of the protocols, exhaustively, and their broken twins.
.PHONY: test-models
test-models: $(VENV)/installed-dev
	$(BIN)/python -m tests.models

# Gunicorn and uWSGI, whose workers are killed, stopped and starved under load.
.PHONY: test-servers
test-servers: $(VENV)/installed-dev
	$(BIN)/python -m tests.servers --kills 50 --kinds 5

# Squatters, other users and namespaces, deaths during creation, chosen keys. As root.
.PHONY: test-hostile
test-hostile: $(VENV)/installed-dev
	$(MAKE) -C tests/hostile -j$(JOBS) run PYTHON=$(abspath $(BIN)/python)

# Kept inputs of the fuzzers, and a little live fuzzing.
.PHONY: test-fuzz
test-fuzz:
	$(MAKE) -C tests/fuzz -j$(JOBS) run PYTHON=$(PYTHON)

# Too little memory, space, descriptors, permission.
.PHONY: test-famine
test-famine:
	$(MAKE) -C tests/famine -j$(JOBS) run PYTHON=$(PYTHON)

test-py: $(VENV)/installed-dev
	$(MAKE) -C tests/c hold_lock
	$(BIN)/python -m pytest -q --numprocesses $(JOBS) -m "not alone"
	$(BIN)/python -m pytest -q -m alone

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/coverage/report.py tests/coverage/uncovered.txt

# --- longer campaigns ---------------------------------------------------------------

# The origin's benchmark beside a real Redis.
bench-origin: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.origin --json build/origin.json

# All peers that lilcache is measured beside.
.PHONY: peers
peers: $(VENV)/installed-peers
	tests/need.sh memcached memcached redis-server redis-server

# lilcache beside them, in turns within one run; figures of each round in build/.
# TRACES is the folder with the trace files; without it their hit ratios are left out.
# POGOCACHE is a checkout of github.com/tidwall/pogocache, which no registry has; without
# it the core stands alone.
.PHONY: bench
bench: peers
	mkdir -p build
	$(BIN)/python -m benchmarks.performance --json build/performance.json \
	    $(if $(wildcard $(TRACES)),--traces $(TRACES)) \
	    $(if $(POGOCACHE),--pogocache $(POGOCACHE))

# The same, put into docs/performance.md with its drawings.
.PHONY: bench-report
bench-report: peers
	$(BIN)/python -m benchmarks.performance_report build/performance.json

# The core's own get and set, compiled as the extension is, without Python.
.PHONY: bench-core
bench-core: $(VENV)/installed-dev
	mkdir -p build
	$(BIN)/python -m benchmarks.performance --suites core --json build/core.json \
	    $(if $(POGOCACHE),--pogocache $(POGOCACHE))

# The program is compiled apart, as a caller's is: the compiler would work the lengths of
# its keys and values into the core. In place at once: tests that run side by side need it.
build/bench-core: $(wildcard benchmarks/core/* csrc/*) build_ffi.py
	mkdir -p build
	flags="$$($(BIN)/python -c 'import build_ffi; print(*build_ffi.compiler_flags())') \
	    -D_GNU_SOURCE -Icsrc" && \
	$(CC) $$flags '-DENGINE="lilcache_engine.h"' -fno-lto -c -o $@.$$$$.o benchmarks/core/core.c && \
	$(CC) $$flags -o $@.$$$$ $@.$$$$.o $(wildcard csrc/lc_*.c) -lpthread -lrt && \
	mv $@.$$$$ $@ && rm $@.$$$$.o

# pogocache, of the checkout POGOCACHE, by the same program with the same flags.
build/bench-pogocache: $(wildcard benchmarks/core/*) build_ffi.py $(POGOCACHE)/src/pogocache.c
	mkdir -p build
	flags="$$($(BIN)/python -c 'import build_ffi; print(*build_ffi.compiler_flags())') \
	    -D_GNU_SOURCE -I$(POGOCACHE)/src" && \
	$(CC) $$flags '-DENGINE="pogocache_engine.h"' -fno-lto -c -o $@.$$$$.o benchmarks/core/core.c && \
	$(CC) $$flags -w -o $@.$$$$ $@.$$$$.o $(POGOCACHE)/src/pogocache.c -lpthread -lm && \
	mv $@.$$$$ $@ && rm $@.$$$$.o

# What a call costs, with the hot verbs and without, and of what is kept.
.PHONY: bench-verbs
bench-verbs: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.verbs

# Mutants of the core, in lines drawn by SEED, until COUNT or SECONDS are reached.
# A score below --least fails: less than every sample has had (docs/reliability.md).
COUNT ?= 300
.PHONY: mutants
mutants: $(VENV)/installed-dev
	$(BIN)/python -m tests.seeded.mutants --count $(COUNT) --seconds $(SECONDS) \
	    --seed $(SEED) --least 0.65

# Object hit ratios on public traces; TRACES is the folder with the trace files.
hitratio: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.hitratio.replay --traces $(TRACES) --json build/hitratio.json

# The same over synthetic workloads of many kinds; some of them are lost.
.PHONY: hitratio-wide
hitratio-wide: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.hitratio.wide

# The model against libcachesim, in an environment of its own: the tool is no dependency.
hitratio-check: $(VENV)/installed-dev
	test -x build/libcachesim/bin/python || $(PYTHON) -m venv build/libcachesim
	build/libcachesim/bin/python -m pip install --quiet libcachesim tabulate
	build/libcachesim/bin/python -m benchmarks.hitratio.check_model --traces $(TRACES)

# All the campaigns of tests/suites/table.py: those with a goal, which take about four hours
# on two cores, then the others, which share SECONDS.
soak: $(VENV)/installed-dev
	$(BIN)/python -m tests.suites soak --seconds $(SECONDS) --seed $(SEED)

# Races on more processes than cores, with kills, for SECONDS.
stress:
	$(MAKE) -C tests/stress
	build/c/stress --seconds $(SECONDS) --seed $(SEED) --kill

# The models with larger constants and every interleaving; takes no SECONDS.
.PHONY: models
models: $(VENV)/installed-dev
	$(BIN)/python -m tests.models --deep

# As test-servers, on all kinds of servers: KILLS of them, in windows of 3 s.
.PHONY: soak-servers
soak-servers: $(VENV)/installed-dev
	$(BIN)/python -m tests.servers --kills $(KILLS) --seed $(SEED) --window 3

# The suite of test-hostile with more rounds and more chosen keys, for SECONDS.
.PHONY: hostile
hostile: $(VENV)/installed-dev
	$(MAKE) -C tests/hostile campaign PYTHON=$(abspath $(BIN)/python) \
	    SECONDS=$(SECONDS) SEED=$(SEED)

# Fuzzing for SECONDS, or make fuzz EXECUTIONS=100000000.
.PHONY: fuzz
fuzz:
	$(MAKE) -C tests/fuzz campaign PYTHON=$(PYTHON) SEED=$(SEED) \
	    SECONDS=$(if $(EXECUTIONS),0,$(SECONDS)) EXECUTIONS=$(or $(EXECUTIONS),0)

# Mixed sizes from 1 B to 8 MiB in 64 MiB for SECONDS: not one failed set.
never-fails:
	$(MAKE) -C tests/c all
	build/c/test_evict never-fails $(SECONDS)

# 10^8 overwrites of one key beside a cache that is 95 % full evict nothing else.
overwrites:
	$(MAKE) -C tests/c all
	build/c/test_evict overwrites 100000000

clean:
	rm -rf build $(VENV) lilcache/*.so lilcache/_lilcache.c lilcache/_quick.c *.egg-info
