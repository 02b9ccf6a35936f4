# tailrace: how to build, test and measure it.
#
#   make deps        install the system packages this needs (Debian 12, as root)
#   make             build/tailrace, the release binary (-O2 -g, hardened)
#   make run         build it and show the whole main job on embedded defaults
#   make check       unit, contract and end-to-end tests, plain and with sanitizers (ASan + UBSan)
#   make check-fast  the same without the sanitizer build
#   make check-tsan  the threaded tests under ThreadSanitizer
#   make lint        include rules, clang-tidy's bug checks, a clang build with the same warnings
#   make format      clang-format over the tree
#   make docs        docs/configuration.md from the tables in the code
#   make fuzz        each fuzz target for FUZZ_SECONDS (default 20), corpus in tests/fuzz/corpus
#   make bench       tailrace beside its peers, when PEERS=DIR holds otelcol (and df_engine, rotel)
#   make interop     real SDKs and backends; PEERS=DIR holds otelcol, jaeger, tempo, telemetrygen
#   make interop-processors   processors beside the Collector's, over INTEROP_SPANS random spans (default 2000)
#   make interop-sampling  of that, tail_sampling beside the Collector: every policy, random traces, random settings (SEEDS=1-50)
#   make soak        at length: SOAK_ROUNDS (default 50) kills of a window on disk, KILL_ROUNDS (200) of a queue,
#                    KILL_ROUNDS power cuts, RELOAD_ROUNDS (1000) reloads under load
#   make install     to $(DESTDIR)$(PREFIX)
#   make dist        build/tailrace-VERSION.tar.gz of the committed tree
#   make clean       removes build/
#
# Settings: V=1 shows commands; CC=clang-14; SAN=address|thread builds into build/obj-$(SAN); JOBS=n;
# T=text builds and runs only the tests whose name contains it.
# `make deps check` and `make deps run` work on a machine that has only git and make: nothing is
# looked up on the system before deps has run.

VERSION  := 0.1.0
PREFIX   ?= /usr/local
SAN      ?=
JOBS     ?= $(shell nproc 2>/dev/null || echo 2)
BUILD    ?= build
OUT      := $(BUILD)/obj$(if $(SAN),-$(SAN))
BIN      := $(if $(SAN),$(OUT)/tailrace,$(BUILD)/tailrace)
LIB      := $(OUT)/libtailrace.a
CLANG    ?= clang-14
T        ?=
FUZZ_SECONDS ?= 20
SOAK_ROUNDS ?= 50
KILL_ROUNDS ?= 200
RELOAD_ROUNDS ?= 1000
export VERSION PREFIX BUILD

DEB_BUILD := gcc g++ make pkg-config git libuv1-dev libnghttp2-dev libprotobuf-c-dev protobuf-c-compiler \
             protobuf-compiler libyaml-dev libzstd-dev libdeflate-dev libisal-dev libsnappy-dev liblz4-dev \
             libre2-dev libxxhash-dev libjansson-dev node-llhttp zlib1g-dev libssl-dev
DEB_TEST  := check python3 python3-h2 python3-protobuf python3-yaml openssl curl prometheus clang-14 clang-tidy-14 \
             clang-format-14 libclang-rt-14-dev

FOLDERS  := platform model ottl net component receivers processors exporters connectors extensions pipeline config cmd
SRCS      = $(filter-out cmd/tailrace.c,$(wildcard $(addsuffix /*.c,$(FOLDERS))))
CXXSRCS   = $(wildcard platform/*.cc)
PROTOS    = $(wildcard model/proto/*.proto)
PROTO_C   = $(PROTOS:%.proto=$(OUT)/gen/%.pb-c.c)
OBJS      = $(SRCS:%.c=$(OUT)/%.o) $(CXXSRCS:%.cc=$(OUT)/%.o) $(PROTO_C:%.c=%.o) \
            $(OUT)/llhttp/llhttp.o $(OUT)/llhttp/api.o $(OUT)/llhttp/http.o
UNIT      = $(wildcard tests/unit/test_*.c) $(wildcard tests/contract/test_*.c)
UNIT_BIN  = $(UNIT:%.c=$(OUT)/%)
SAN_OBJ   = $(if $(filter thread,$(SAN)),$(OUT)/tests/tsan_syscall.o)
TESTLIB   = $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/lib/*.c))
E2E       = $(wildcard tests/e2e/test_*.py)
BENCH_BIN = $(patsubst bench/%.c,$(OUT)/bench/%,$(wildcard bench/*.c))
FUZZ      = $(wildcard tests/fuzz/fuzz_*.c)

PKGS     := libuv libnghttp2 libprotobuf-c yaml-0.1 libzstd libdeflate libisal snappy liblz4 re2 libxxhash jansson zlib
# Looked up at first use, not when this file is read: `make deps` may have to come first.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)

WARN     := -Wall -Wextra -Wshadow -Wpointer-arith -Wvla -Wformat=2 -Wundef -Werror
CWARN    := $(WARN) -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
HARDEN   := -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fno-plt
HARDEN_LD := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
ifeq ($(SAN),address)
OPT      := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -DTAILRACE_SANITIZED
HARDEN   := -fPIE
else ifeq ($(SAN),thread)
OPT      := -O1 -g -fno-omit-frame-pointer -fsanitize=thread -DTAILRACE_SANITIZED
HARDEN   := -fPIE
else
OPT      := -O2 -g
endif
CPPFLAGS = -D_GNU_SOURCE -DTAILRACE_VERSION='"$(VERSION)"' -I. -I$(OUT)/gen -I/usr/share/include/llhttp
CFLAGS   = -std=gnu11 $(OPT) $(CWARN) $(HARDEN) $(PKG_CFLAGS) $(EXTRA_CFLAGS)
CXXFLAGS = -std=gnu++17 $(OPT) $(WARN) $(HARDEN) $(PKG_CFLAGS) -fno-exceptions -fno-rtti
LDFLAGS  = $(OPT) $(HARDEN_LD)
LIBS     = $(PKG_LIBS) -lstdc++ -lpthread -lm

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

.DEFAULT_GOAL := all
.PHONY: all deps run check check-fast check-tsan lint format docs fuzz bench interop interop-sampling soak install dist clean help \
        _bin _tests _fuzz_build _bench _lint
.SECONDARY:
.DELETE_ON_ERROR:

# `make deps X`: X waits for deps also under -j.
ifneq ($(filter deps,$(MAKECMDGOALS)),)
$(filter-out deps,$(MAKECMDGOALS)): deps
endif

SUB = +$(Q)$(MAKE) --no-print-directory -j$(JOBS)

all:
	$(SUB) _bin

help:
	@sed -n '3,26s/^# \{0,1\}//p' Makefile

deps:
	$(Q)if command -v apt-get >/dev/null 2>&1; then \
	  if dpkg -s $(DEB_BUILD) $(DEB_TEST) >/dev/null 2>&1; then echo "  DEPS  all there"; else \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(DEB_BUILD) $(DEB_TEST); fi; \
	else echo "make deps knows Debian only; needed: $(DEB_BUILD) $(DEB_TEST)"; exit 1; fi

run: all
	$(Q)$(BIN) demo

check:
	$(SUB) _tests
	$(SUB) _tests SAN=address
	$(Q)tests/run.sh --title "make check" --build $(BUILD) --plain $(BUILD)/obj --sanitized $(BUILD)/obj-address $(T)

check-fast:
	$(SUB) _tests
	$(Q)tests/run.sh --title "make check-fast" --build $(BUILD) --plain $(BUILD)/obj $(T)

check-tsan:
	$(SUB) _tests SAN=thread
	$(Q)tests/run.sh --title "make check-tsan" --build $(BUILD) --sanitized $(BUILD)/obj-thread $(T)

lint:
	$(Q)tests/lint_includes.sh
	$(SUB) -k _lint CC=$(CLANG) CXX=clang++-14 BUILD=$(BUILD)/clang
	@echo "  LINT  clang builds it, clang-tidy finds nothing"

format:
	$(Q)git ls-files '*.c' '*.h' '*.cc' | xargs clang-format-14 -i

docs: all
	$(Q)$(BIN) reference > docs/configuration.md

fuzz:
	$(SUB) _fuzz_build
	$(Q)tests/fuzz/run.sh $(BUILD)/fuzz $(FUZZ_SECONDS) $(T)

bench: all
	$(SUB) _bench
	$(Q)/usr/bin/python3 bench/run.py $(BUILD) $(T)

soak: all
	$(Q)TAILRACE=$(abspath $(BIN)) TAILRACE_WINDOW_ROUNDS=$(SOAK_ROUNDS) PYTHONPATH=tests/lib /usr/bin/python3 tests/e2e/test_window.py -v
	$(Q)TAILRACE=$(abspath $(BIN)) TAILRACE_KILL_ROUNDS=$(KILL_ROUNDS) PYTHONPATH=tests/lib /usr/bin/python3 tests/e2e/test_storage.py -v
	$(Q)TAILRACE=$(abspath $(BIN)) TAILRACE_RELOADS=$(RELOAD_ROUNDS) PYTHONPATH=tests/lib /usr/bin/python3 tests/e2e/test_reload.py -v UnderLoad
	$(Q)TAILRACE=$(abspath $(BIN)) TAILRACE_POWER_ROUNDS=$(KILL_ROUNDS) PYTHONPATH=tests/lib /usr/bin/python3 tests/e2e/test_powercut.py -v

interop: all
	$(Q)tests/interop/run.sh $(BUILD) $(T)

interop-sampling: all
	$(Q)tests/interop/run.sh $(BUILD) sampling

# The part of interop that compares processors, over many more spans.
interop-processors: all
	$(Q)for t in processors_diff filter_diff functions_diff; do \
	  INTEROP_SPANS=$${INTEROP_SPANS:-2000} TAILRACE=$(BIN) /usr/bin/python3 tests/interop/$$t.py || exit 1; done

install: all
	install -D -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin/tailrace
	install -D -m 0644 deploy/quickstart.yaml $(DESTDIR)$(PREFIX)/share/tailrace/quickstart.yaml
	install -D -m 0644 deploy/systemd/tailrace.service $(DESTDIR)$(PREFIX)/lib/systemd/system/tailrace.service
	install -D -m 0644 deploy/systemd/tailrace.socket $(DESTDIR)$(PREFIX)/lib/systemd/system/tailrace.socket

dist:
	$(Q)mkdir -p $(BUILD)
	$(Q)git archive --prefix=tailrace-$(VERSION)/ -o $(BUILD)/tailrace-$(VERSION).tar.gz HEAD

clean:
	rm -rf $(BUILD)

# ---- below: only reached through a second make, after deps ----

_bin: $(BIN)
_tests: $(BIN) $(if $(T),$(foreach t,$(UNIT_BIN),$(if $(findstring $(T),$(t:$(OUT)/tests/%=%)),$t)),$(UNIT_BIN))
	@:
_bench: $(BENCH_BIN)
_lint: $(BIN) $(UNIT:%.c=$(OUT)/%.o) $(TESTLIB) $(patsubst bench/%.c,$(OUT)/bench/%.o,$(wildcard bench/*.c)) \
       $(SRCS:%.c=$(OUT)/tidy/%.ok) $(OUT)/tidy/cmd/tailrace.ok
_fuzz_build: $(FUZZ:tests/fuzz/%.c=$(BUILD)/fuzz/%)

# Objects are rebuilt when the flags change.
FLAGS_ID = $(OUT)/.flags
$(FLAGS_ID): FORCE
	@mkdir -p $(OUT)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(CXXFLAGS) $(LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(CXXFLAGS) $(LDFLAGS)' > $@
FORCE:

$(BIN): $(OUT)/cmd/tailrace.o $(SAN_OBJ) $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(LIB): $(OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# Generated protobuf-c headers come before whatever may include them.
$(SRCS:%.c=$(OUT)/%.o) $(UNIT:%.c=$(OUT)/%.o) $(TESTLIB) $(patsubst bench/%.c,$(OUT)/bench/%.o,$(wildcard bench/*.c)): | $(PROTO_C)

$(OUT)/%.o: %.c $(FLAGS_ID)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The demo carries the quickstart configuration.
$(OUT)/cmd/demo.o: deploy/quickstart.yaml

$(OUT)/%.o: %.cc $(FLAGS_ID)
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/gen/%.pb-c.c: %.proto
	$(call say,PROTO,$<)
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=. --c_out=$(OUT)/gen $<

# Not our code: our warnings do not apply.
$(OUT)/gen/%.o: $(OUT)/gen/%.c
	$(Q)$(CC) $(CPPFLAGS) -std=gnu11 $(OPT) $(HARDEN) $(PKG_CFLAGS) -w -c -o $@ $<

$(OUT)/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -std=gnu11 $(OPT) $(HARDEN) -w -c -o $@ $<

$(OUT)/tests/unit/%: $(OUT)/tests/unit/%.o $(SAN_OBJ) $(TESTLIB) $(LIB)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $$(pkg-config --libs check) $(LIBS)

$(OUT)/tests/contract/%: $(OUT)/tests/contract/%.o $(SAN_OBJ) $(TESTLIB) $(LIB)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $$(pkg-config --libs check) $(LIBS)

$(OUT)/bench/%: $(OUT)/bench/%.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

# After the object: that one is rebuilt when a header changes. clang-tidy counts hidden warnings on its stderr.
$(OUT)/tidy/%.ok: %.c $(OUT)/%.o .clang-tidy
	$(call say,TIDY,$<)
	@mkdir -p $(@D)
	$(Q)clang-tidy-14 --quiet $< -- $(CPPFLAGS) -std=gnu11 $(PKG_CFLAGS) 2>$@.log && touch $@ || { cat $@.log; exit 1; }

# Fuzz targets: everything again with clang's coverage, ASan and UBSan, in one build folder.
# pointer-overflow would stop at NULL + 0, which is how an empty slice looks and which C2y and C++ define.
FUZZ_FLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize=pointer-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer
FOBJ        = $(BUILD)/fuzz/obj
FUZZ_OBJS   = $(SRCS:%.c=$(FOBJ)/%.o) $(CXXSRCS:%.cc=$(FOBJ)/%.o) $(PROTOS:%.proto=$(FOBJ)/gen/%.pb-c.o) \
              $(FOBJ)/llhttp/llhttp.o $(FOBJ)/llhttp/api.o $(FOBJ)/llhttp/http.o
$(BUILD)/fuzz/libtailrace.a: $(FUZZ_OBJS)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(FOBJ)/%.o: %.c | $(PROTO_C)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu11 $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(PKG_CFLAGS) -MMD -MP -c -o $@ $<
$(FOBJ)/%.o: %.cc
	@mkdir -p $(@D)
	$(Q)clang++-14 $(CPPFLAGS) -std=gnu++17 $(FUZZ_FLAGS) -fno-sanitize=function -fsanitize=fuzzer-no-link $(PKG_CFLAGS) -fno-exceptions -fno-rtti -c -o $@ $<
$(FOBJ)/gen/%.o: $(OUT)/gen/%.c
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu11 $(FUZZ_FLAGS) $(PKG_CFLAGS) -w -c -o $@ $<
$(FOBJ)/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu11 $(FUZZ_FLAGS) -w -c -o $@ $<
$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/fuzz/libtailrace.a $(wildcard tests/fuzz/*.h)
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu11 $(FUZZ_FLAGS) -fsanitize=fuzzer $(PKG_CFLAGS) -o $@ $< $(BUILD)/fuzz/libtailrace.a $(LIBS)

-include $(wildcard $(OUT)/*/*.d $(OUT)/tests/*/*.d $(FOBJ)/*/*.d)
