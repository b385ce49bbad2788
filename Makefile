# stent: live patching for Linux. docs/design.md says what is where.
#
#   make            build/stent
#   make demo       a fix goes into a running redis-server, and out again (installs what is missing)
#   make check      every test there is (installs what is missing); the last line has the sums
#   make bench-unwind	what a stack walk costs, beside libdwfl and libunwind
#   make fuzz SECONDS=60 FUZZ="patch ledger"	hostile files, packages and processes, for so long each (clang)
#   make bench-rows	what unwind data costs, beside elfutils' (installs what is missing)
#   make bench-diff	time and memory of comparing two builds, from small to large (downloads them)
#   make bench-call	what a call costs in each state of a patch, beside other redirections
#   make bench-pause	how long a process is stopped, beside a bare ptrace stop, and as a server's clients see it
#   make bench-converge	how long a patch takes where threads are inside of the old function most of the time
#   make chaos      stent is killed before and behind each system call that it makes; the process lives, and the next stent mends
#   make runtimes   interpreters, JIT compilers and emulators as targets: python3, node, java, Go, qemu-user, rr (downloads what is missing)
#   make invisible CYCLES=1000	a program that counts what is done to it counts the same with patches going in and out as without
#   make cycles CYCLES=10000	a patch goes in and out of a process so often: nothing is left of it
#   make bench-upgrade	what stent upgrade takes where a thousand processes run what was replaced
#   make torture SECONDS=600	calls of two versions that meet, in 16 threads while patches come and go: none, it says
#   make midway MOMENTS=40	programs from Debian packages, patched in the middle of their work (downloads them)
#   make real PAIRS="..."	security updates of Debian 12, taken by programs at work: a row for each (downloads them)
#   make model      every state of the model of the transition (installs spin)
#   make man        the manual pages, in build/man
#   make install    PREFIX=/usr/local DESTDIR= (with manual pages: scdoc)
#   make deb        a Debian package, in build/deb (installs what is missing)
#   make clean

CC       ?= gcc
BUILD    ?= build
PREFIX   ?= /usr/local
CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
VERSION  := 0.1

CPPFLAGS += -Isrc -D_GNU_SOURCE -DSTENT_VERSION='"$(VERSION)"'
COMPILE   = $(CC) -std=c17 $(CPPFLAGS) $(CFLAGS) $(WARNINGS) -MMD -MP
LIBS     := -lelf -ldw -larchive -lZydis -ljansson -lsodium -pthread

SOURCES  := $(filter-out src/main.c,$(sort $(wildcard src/*/*.c src/*/*/*.c)))
OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o)

# Rows that another stent made and judged are stale: src/unwind/rows_cache.h.
JUDGES   := $(sort $(wildcard $(foreach module,arch arch/* base image unwind,src/$(module)/*.[ch])))
JUDGMENT := 0x$(firstword $(shell cat $(JUDGES) | b2sum -l 64))
CPPFLAGS += -DSTENT_ROWS_VERSION=$(JUDGMENT)

all: $(BUILD)/stent

$(BUILD)/src/unwind/rows_file.o: $(JUDGES)

$(BUILD)/stent: $(BUILD)/src/main.o $(BUILD)/libstent.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/libstent.a: $(OBJECTS)
	rm -f $@
	ar rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

# Unit tests: one program per tests/unit/test_*.c. The same again, with sanitizers, under $(BUILD)/asan.
UNIT := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
unit: $(UNIT)
$(BUILD)/tests/%.o: WARNINGS += -Wno-unused-parameter	# cmocka passes each test a state
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/libstent.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
asan:
	+@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan CFLAGS='$(SANITIZE)' unit

# Live tests: scripts, and test_*.c, which are linked with libstent and cmocka. All other *.c there are
# victims: programs of one file that know nothing of stent. A script without #! is part of others.
SCRIPTS  = $(shell grep -l '^\#!/' tests/$(1)/*.sh)
SPIES   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/live/test_*.c))
VICTIMS := $(filter-out $(SPIES),$(patsubst %.c,$(BUILD)/%,$(wildcard tests/live/*.c)))
live-programs: $(SPIES) $(VICTIMS)
$(SPIES): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libstent.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka -pthread
$(VICTIMS): $(BUILD)/%: %.c
	@mkdir -p $(@D)
	$(COMPILE) -Wno-unknown-attributes $(LDFLAGS) -Wl,--build-id -pthread -o $@ $<	# clang has no noipa

# Tests of stacks: targets that know nothing of stent; ask.c, which is linked with it; and other unwinders, to compare with.
STACKS := $(addprefix $(BUILD)/tests/,stack/hard stack/hard-static stack/handmade stack/many stack/throw stack/ask oracle/chains oracle/json_chains)
stack-programs: $(STACKS)
TARGET  = @mkdir -p $(@D); $(COMPILE) -Wno-unknown-attributes $(LDFLAGS) -Wl,--build-id -pthread -o $@ $<
$(BUILD)/tests/stack/hard $(BUILD)/tests/stack/handmade: $(BUILD)/%: %.c
	$(TARGET)
$(BUILD)/tests/stack/hard-static: tests/stack/hard.c
	$(TARGET) -static
$(BUILD)/tests/stack/libmany.so: tests/stack/many_library.c tests/stack/many.h
	$(TARGET) -fPIC -shared
$(BUILD)/tests/stack/many: tests/stack/many.c tests/stack/many.h $(BUILD)/tests/stack/libmany.so
	$(TARGET) $(BUILD)/tests/stack/libmany.so -Wl,-rpath,'$$ORIGIN'
$(BUILD)/tests/stack/throw: tests/stack/throw.cc
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(CPPFLAGS) $(CFLAGS) $(filter-out %-prototypes,$(WARNINGS)) $(LDFLAGS) -rdynamic -pthread -o $@ $<
$(BUILD)/tests/stack/ask: $(BUILD)/tests/stack/ask.o $(BUILD)/libstent.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
$(BUILD)/tests/oracle/%: $(BUILD)/tests/oracle/%.o
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -ldw -lunwind-ptrace -lunwind-generic -lunwind -ljansson

# Stent is killed at each STEP-th point.
STEP ?= 1
chaos-programs: $(BUILD)/tests/chaos/kill_at
$(BUILD)/tests/chaos/%: tests/chaos/%.c
	@mkdir -p $(@D)
	$(COMPILE) $(LDFLAGS) -o $@ $<
chaos:
	@scripts/deps build
	+@$(MAKE) --no-print-directory all chaos-programs
	@BUILD=$(BUILD) STEP=$(STEP) tests/chaos/chaos.sh

.PHONY: runtimes
runtimes:
	@scripts/deps build
	+@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tests/targets/runtimes.sh

# In a virtual machine, with a kernel that this machine may not run.
.PHONY: vm
vm:
	@scripts/deps build vm
	+@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tests/vm/cgroup2.sh

CYCLES ?= 1000
invisible:
	@scripts/deps build
	+@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) CYCLES=$(CYCLES) tests/invisible/invisible.sh

cycles:
	@scripts/deps build
	+@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) CYCLES=$(CYCLES) tests/invisible/cycles.sh

# What tests/real/checker.py decodes code with: Zydis, and nothing of stent.
.PHONY: midway real real-programs bench-diff
real-programs: $(BUILD)/tests/real/references $(BUILD)/tests/real/midway.so
$(BUILD)/tests/real/midway.so: tests/real/midway.c
	@mkdir -p $(@D)
	$(COMPILE) -fPIC -shared $(LDFLAGS) -o $@ $<
$(BUILD)/tests/real/references: tests/real/references.c
	@mkdir -p $(@D)
	$(COMPILE) $(LDFLAGS) -o $@ $< -lZydis

# The recursive calls begin once everything that they need is installed.
check:
	@scripts/deps build check man deb
	+@$(MAKE) --no-print-directory all unit asan live-programs stack-programs chaos-programs real-programs || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
	@BUILD=$(BUILD) tests/run $(call SCRIPTS,static) $(UNIT) $(UNIT:$(BUILD)/%=$(BUILD)/asan/%) \
		$(SPIES) $(foreach folder,live source chaos invisible cxx changes stack fuzz transition,$(call SCRIPTS,$(folder))) $(filter-out %/check-500.sh %/runtimes.sh,$(call SCRIPTS,real) $(call SCRIPTS,targets))

# libFuzzer needs clang. What it finds new goes to the build's folder, not into the corpus. FUZZ: which (fuzz_NAME.c); SECONDS: for each.
FUZZ    ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZERS := $(FUZZ:%=$(BUILD)/fuzz/fuzz_%)
HOSTILE := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
SECONDS ?= 60
fuzzers:
	+@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=clang CFLAGS='$(HOSTILE)' $(BUILD)/fuzz/libstent.a
	+@$(MAKE) --no-print-directory $(FUZZERS) $(BUILD)/fuzz/seeds
$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/expect.h $(BUILD)/fuzz/libstent.a
	clang -std=c17 $(CPPFLAGS) -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $< $(BUILD)/fuzz/libstent.a $(LIBS)

# Beside the corpus in the tree: what the project itself can write, and a small library.
$(BUILD)/fuzz/seeds: $(BUILD)/tests/fuzz/seeds.o $(BUILD)/libstent.a
	@mkdir -p $(foreach kind,patch ledger image,$@.of/$(kind))
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
	$@ patch >$@.of/patch/example
	$@ bundle >$@.of/patch/bundle
	$@ ledger >$@.of/ledger/example
	$(CC) -O2 -fPIC -shared -nostdlib -Wl,--build-id -o $@.of/image/library tests/stack/many_library.c

fuzz: fuzzers
	@for name in $(FUZZ); do \
		found=$(BUILD)/fuzz/found/$$name seeds=; mkdir -p $$found; \
		for folder in $(BUILD)/fuzz/seeds.of/$$name tests/fuzz/corpus/$$name; do [ ! -d $$folder ] || seeds="$$seeds $$folder"; done; \
		echo "$$name"; \
		$(BUILD)/fuzz/fuzz_$$name -max_total_time=$(SECONDS) -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
			-artifact_prefix=$(BUILD)/fuzz/$$name- $$found $$seeds || exit 1; \
	done

# One program per bench/bench_*.c, which prints its table. FILES: the images to measure with.
$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BUILD)/libstent.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

FILES ?= $(wildcard /lib/*-linux-gnu/libc.so.6 /usr/lib/*-linux-gnu/libcrypto.so.3 /usr/lib/*-linux-gnu/libstdc++.so.6 /usr/bin/python3 /usr/bin/gdb)
bench-rows:
	@scripts/deps build bench
	+@$(MAKE) --no-print-directory $(BUILD)/bench/bench_rows
	@$(BUILD)/bench/bench_rows $(FILES)

bench-call:
	@scripts/deps build bench
	+@$(MAKE) --no-print-directory $(BUILD)/bench/bench_call
	@$(BUILD)/bench/bench_call

$(BUILD)/bench/bench_pause_target.%: bench/bench_pause_target.c bench/bench_pause.h
	@mkdir -p $(@D)
	$(CC) -std=c17 $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(LDFLAGS) -Wl,--build-id -DVERSION=$* -pthread -o $@ $<

bench-pause:
	@scripts/deps build bench
	+@$(MAKE) --no-print-directory all $(addprefix $(BUILD)/bench/,bench_pause bench_pause_target.1 bench_pause_target.2)
	@BUILD=$(BUILD) bench/bench_pause.sh

$(BUILD)/bench/bench_converge_target.%: bench/bench_converge_target.c
	@mkdir -p $(@D)
	$(CC) -std=c17 $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(LDFLAGS) -Wl,--build-id -DVERSION=$* -pthread -o $@ $<

bench-converge:
	@scripts/deps build
	+@$(MAKE) --no-print-directory all $(addprefix $(BUILD)/bench/bench_converge_target.,1 2)
	@BUILD=$(BUILD) bench/bench_converge.sh

.PHONY: bench-upgrade
bench-upgrade:
	@scripts/deps build
	+@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) bench/bench_upgrade.sh

torture:
	@scripts/deps build
	+@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tests/transition/torture.sh $(SECONDS)

$(BUILD)/bench/bench_unwind: LIBS += -lunwind-ptrace -lunwind-generic -lunwind
bench-unwind:
	@scripts/deps build bench
	+@$(MAKE) --no-print-directory $(BUILD)/bench/bench_unwind $(BUILD)/tests/stack/many
	@timeout 120 $(BUILD)/bench/bench_unwind $(BUILD)/tests/stack/many

model:
	@scripts/deps model
	@tests/model/run full

# stent check on 500 files of this machine; takes minutes. MORE="folder ..." adds others.
check-500: all
	@BUILD=$(BUILD) tests/real/check-500.sh

bench-diff:
	@scripts/deps build bench
	+@$(MAKE) --no-print-directory $(BUILD)/bench/bench_diff
	@BUILD=$(BUILD) bench/bench_diff.sh

PAIRS ?=
MOMENTS ?= 40

midway:
	@scripts/deps build real
	+@$(MAKE) --no-print-directory all real-programs
	@BUILD=$(BUILD) tests/real/midway.py --moments $(MOMENTS)

real:
	@scripts/deps build real
	+@$(MAKE) --no-print-directory all real-programs
	@BUILD=$(BUILD) tests/real/real.py $(PAIRS)

demo:
	@scripts/deps build
	+@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) demo/demo.sh

# Manual pages, by scdoc.
MANUALS := $(patsubst man/%.scd,$(BUILD)/man/%,$(wildcard man/*.scd))
man: $(MANUALS)
$(BUILD)/man/%: man/%.scd
	@mkdir -p $(@D)
	scdoc <$< >$@.new && mv $@.new $@

SHARE := $(DESTDIR)$(PREFIX)/share
install: $(BUILD)/stent $(MANUALS)
	install -D -m 755 $(BUILD)/stent $(DESTDIR)$(PREFIX)/bin/stent
	install -d $(SHARE)/man/man1
	install -m 644 $(MANUALS) $(SHARE)/man/man1/
	install -D -m 644 completions/stent.bash $(SHARE)/bash-completion/completions/stent
	install -D -m 644 completions/_stent $(SHARE)/zsh/vendor-completions/_stent
	install -D -m 644 completions/stent.fish $(SHARE)/fish/vendor_completions.d/stent.fish

# A Debian package, in $(BUILD)/deb: made from a copy, because the Debian tools write into the tree and beside it.
deb:
	@scripts/deps build man deb
	@BUILD=$(BUILD) scripts/deb

clean:
	rm -rf $(BUILD)

.PHONY: all unit asan live-programs stack-programs chaos-programs check chaos cycles invisible fuzz fuzzers bench-call bench-converge bench-pause bench-rows bench-unwind torture model demo man install deb clean
.SECONDARY:
-include $(shell find $(BUILD)/src $(BUILD)/tests $(BUILD)/bench -type f -name '*.d' 2>/dev/null)
