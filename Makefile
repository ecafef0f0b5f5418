# Build, test, run and install the chat service; "make help" lists what there is.
#
#   make CC=clang                     another compiler, built apart in build/clang/
#   make SANITIZE=address,undefined   or SANITIZE=thread; built apart in build/san-<names>/
#   make WERROR=                      warnings stay warnings (for compilers newer than ours)
#   make V=1                          show whole command lines
#
# CFLAGS, CPPFLAGS and LDFLAGS are yours: what the code needs is added to them.

ifeq ($(origin CC),default)
CC = gcc
endif
CFLAGS ?= -O2 -g
CPPFLAGS ?= $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2)
LDFLAGS ?= -Wl,-z,relro,-z,now
SANITIZE =
WERROR = -Werror

PREFIX = /usr/local
DESTDIR =
INSTALL = install
bindir = $(PREFIX)/bin
libdir = $(PREFIX)/lib
includedir = $(PREFIX)/include
unitdir = $(PREFIX)/lib/systemd/system
datadir = $(PREFIX)/share/chatd

# Each combination of compiler and sanitizers has a folder of its own, so that none gets another's
# objects: build/, build/clang/, build/san-address-undefined/, build/clang-san-thread/.
comma := ,
compiler := $(filter-out gcc cc,$(notdir $(CC)))
sanitizers := $(if $(SANITIZE),san-$(subst $(comma),-,$(SANITIZE)))
variant := $(compiler)$(if $(compiler),$(if $(sanitizers),-))$(sanitizers)
BUILD := build$(if $(variant),/$(variant))

WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wundef \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 $(WERROR)
# clang 17 and newer mind that protobuf-c calls its init functions through a pointer to a generic
# one; gcc does not know that check.
SANITIZERS = $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all \
	$(if $(findstring clang,$(CC)),-fno-sanitize=function))
LIBRARIES = -lnats -luv -lprotobuf-c -llmdb -ljansson -lssl -lcrypto -lisal -lpthread -lm
GATEWAY_LIBRARIES = -lrhonabwy -lwslay -lssl

COMPILE = $(CC) -std=c17 -I. -I$(BUILD)/generated -D_GNU_SOURCE -fno-omit-frame-pointer \
	-fstack-protector-strong -pthread $(CPPFLAGS) $(CFLAGS) $(SANITIZERS) -MMD -MP
LINK = $(CC) -pthread $(CFLAGS) $(SANITIZERS) $(LDFLAGS)

# The rooms. A file named *_main.c holds the main() of one program; the rest of its room, and of
# the rooms below it, is linked to it.
sources = $(filter-out %_main.c,$(wildcard $(1)/*.c))
objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
GENERATED = $(addprefix $(BUILD)/generated/,chat.pb-c.c google/protobuf/timestamp.pb-c.c)
BASE = $(call objects,$(call sources,base))
PROTO = $(call objects,$(call sources,proto)) $(GENERATED:.c=.o)
STORE = $(call objects,$(call sources,store))
SERVICE = $(call objects,$(call sources,service))
LIBCHAT = $(call objects,$(call sources,clients/libchat))
CLIENTS = $(call objects,$(call sources,clients))
BENCH = $(call objects,$(call sources,clients/bench))
GATEWAY = $(call objects,$(call sources,clients/gateway)) $(BUILD)/generated/web_files_table.o
# What the gateway shows: embedded into it, so that it needs no files beside it.
WEB_FILES = $(sort $(wildcard clients/gateway/web/*) $(wildcard clients/gateway/openapi.json))
LIBRARY = $(BUILD)/libchatall.a

MAINS = $(wildcard store/*_main.c service/*_main.c clients/*_main.c clients/bench/*_main.c \
	clients/gateway/*_main.c)
PROGRAMS = $(patsubst %_main.c,$(BUILD)/bin/%,$(notdir $(MAINS)))
TEST_SOURCES = $(wildcard tests/unit/*.c)
TEST_HELPERS = $(call objects,$(filter-out tests/unit/test_%,$(TEST_SOURCES)))
UNIT_TESTS = $(patsubst %.c,$(BUILD)/%,$(filter tests/unit/test_%,$(TEST_SOURCES)))

# The client library for others: libchat and what it needs of the rooms below, position-independent
# and with nothing to be seen but what chat.h declares.
VERSION = $(shell sed -nE 's/.*CHAT_VERSION "(.*)"/\1/p' base/version.h)
SONAME = libchat.so.$(firstword $(subst ., ,$(VERSION)))
LIBCHAT_SOURCES = $(call sources,clients/libchat) proto/wire.c proto/utf8.c base/uuid.c base/log.c \
	base/handshake.c base/nkey.c base/broker_url.c base/side_thread.c base/trace.c
LIBCHAT_PIC = $(patsubst %.c,$(BUILD)/pic/%.o,$(LIBCHAT_SOURCES))
LIBCHAT_FILES = $(addprefix $(BUILD)/lib/,$(SONAME) libchat.so libchat.a)

OBJECTS = $(BASE) $(PROTO) $(STORE) $(SERVICE) $(LIBCHAT) $(LIBCHAT_PIC) $(CLIENTS) $(BENCH) $(GATEWAY) \
	$(call objects,$(MAINS) $(TEST_SOURCES))

# A word and the file that is made, instead of the command line.
say = $(if $(V),,@$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,echo '$(1)  $@';))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: help all run test unit unit-programs integration browser bench lint format check-readme \
	dependencies test-dependencies install uninstall clean

all: $(PROGRAMS) $(LIBCHAT_FILES)
	@:

help:
	@echo 'make                    build everything into build/bin/'
	@echo 'make run                install what is missing, build, and run the service here'
	@echo 'make test               install what is missing, build, and run every test'
	@echo 'make unit               unit tests; TESTS="test_uuid test_log" for some of them'
	@echo 'make simulation         the store in a simulated world, from CHAT_SIMULATION_SEEDS'
	@echo 'make simulation-mutants break its rules one at a time; every break must be found'
	@echo 'make fuzz               decoders on hostile bytes; FUZZ="json" for some, FUZZ_SECONDS=60'
	@echo 'make fuzz-edge          the gateway under mutated requests and frames for FUZZ_SECONDS'
	@echo 'make integration        integration and interop tests; TESTS="name" for some of them'
	@echo 'make browser            the web page in headless Chromium; TESTS="chat" for some of it'
	@echo 'make faults             kill, power loss, disk, damage, memory, clock, broker: half an hour;'
	@echo '                        FAULTS=short: minutes; TESTS="name" for some of them'
	@echo 'make bench              measure the figures we aim at; ONLY="send-1024 history-newest" for'
	@echo '                        some of them, SHORT=1 for a first look, BRIEF=1 for two seconds where'
	@echo '                        it would be six (needs Node.js)'
	@echo 'make lint               clang-format, clang-tidy, cppcheck and shellcheck'
	@echo 'make check-readme       every option is in a README, with its default'
	@echo 'make format             let clang-format rewrite the sources'
	@echo 'make install            into PREFIX ($(PREFIX)) below DESTDIR; uninstall takes it away'
	@echo 'make dependencies       install the missing Debian packages to build and run'
	@echo 'make test-dependencies  the same, with those that the tests need'
	@echo 'make clean              remove build/'
	@echo
	@echo 'With CC=clang, SANITIZE=address,undefined or SANITIZE=thread: all, unit, integration.'

# Compiling. The two generated pairs come from one run of protoc, hence the "&:"; every other
# source waits for them, since it may include their headers.
$(GENERATED) $(GENERATED:.c=.h) &: proto/chat.proto
	@command -v protoc >/dev/null && command -v protoc-gen-c >/dev/null || \
		{ echo 'protoc or protoc-gen-c is missing: run "make dependencies" first.' >&2; exit 1; }
	@mkdir -p $(BUILD)/generated
	$(call say,PROTOC)protoc -I proto -I /usr/include --c_out=$(BUILD)/generated \
		proto/chat.proto google/protobuf/timestamp.proto

$(BUILD)/generated/%.o: $(BUILD)/generated/%.c
	$(call say,CC)$(COMPILE) -c -o $@ $<
$(BUILD)/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) $(WARNINGS) -c -o $@ $<

$(BUILD)/pic/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) $(WARNINGS) -fPIC -fvisibility=hidden -c -o $@ $<

# The bytes of the files as an object; web_files.c knows how to show them.
$(BUILD)/generated/web_files_table.c: clients/gateway/embed.sh $(WEB_FILES) | $(GENERATED)
	$(call say,EMBED)clients/gateway/embed.sh $(WEB_FILES) >$@

# The client library. Its parts become one object for the static one, so that what is hidden can be
# made local: a program's own functions may then have the same names.
$(BUILD)/lib/$(SONAME): $(LIBCHAT_PIC)
	@mkdir -p $(@D)
	$(call say,LINK)$(LINK) -shared $(if $(SANITIZE),,-Wl$(comma)-z$(comma)defs) \
		-Wl,-soname,$(SONAME) -o $@ $^ -lnats -luv -lssl -lcrypto -lpthread
$(BUILD)/lib/libchat.so: $(BUILD)/lib/$(SONAME)
	@ln -sf $(SONAME) $@
$(BUILD)/lib/libchat.a: $(LIBCHAT_PIC)
	@mkdir -p $(@D)
	@rm -f $@ $(BUILD)/lib/libchat.o
	$(call say,AR)ld -r -o $(BUILD)/lib/libchat.o $^
	@objcopy --localize-hidden $(BUILD)/lib/libchat.o
	@ar rcs $@ $(BUILD)/lib/libchat.o

# Linking: each program gets its room and the rooms that this one may use, and no others.
define link
@mkdir -p $(@D)
$(call say,LINK)$(LINK) -o $@ $(filter %.o %.a,$^) $(more_libraries) $(LIBRARIES)
endef
$(BUILD)/bin/%: $(BUILD)/service/%_main.o $(SERVICE) $(STORE) $(PROTO) $(BASE)
	$(link)
$(BUILD)/bin/%: $(BUILD)/store/%_main.o $(STORE) $(PROTO) $(BASE)
	$(link)
$(BUILD)/bin/%: $(BUILD)/clients/%_main.o $(CLIENTS) $(LIBCHAT) $(PROTO) $(BASE)
	$(link)
$(BUILD)/bin/chat-gateway: more_libraries = $(GATEWAY_LIBRARIES)
$(BUILD)/bin/%: $(BUILD)/clients/gateway/%_main.o $(GATEWAY) $(BUILD)/clients/broker_access.o $(LIBCHAT) $(PROTO) $(BASE)
	$(link)
$(BUILD)/bin/%: $(BUILD)/clients/bench/%_main.o $(BENCH) $(CLIENTS) $(LIBCHAT) $(PROTO) $(BASE)
	$(link)

# Unit tests link against everything that has no main(); the linker takes what each needs.
$(LIBRARY): $(BASE) $(PROTO) $(STORE) $(SERVICE) $(LIBCHAT) $(CLIENTS) $(BENCH) $(GATEWAY)
	@rm -f $@
	$(call say,AR)ar rcs $@ $^
$(BUILD)/tests/unit/test_%: more_libraries = -lcmocka $(GATEWAY_LIBRARIES)
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(TEST_HELPERS) $(LIBRARY)
	$(link)

include tests/simulation/rules.mk tests/fuzz/rules.mk tests/faults/rules.mk

-include $(OBJECTS:.o=.d)

# Running and testing. "run" and "test" must work where only git and make are, so that they call
# make again once the compiler and the libraries are there.
run:
	@deploy/install-dependencies.sh build
	@$(MAKE) --no-print-directory all
	@exec deploy/run-local.sh $(BUILD)/bin

test:
	@deploy/install-dependencies.sh test
	@exec tests/run-all.sh

selected = $(if $(TESTS),$(filter $(addprefix %/,$(TESTS)),$(1)),$(1))
unit-programs: $(call selected,$(UNIT_TESTS))
unit: unit-programs
	@tests/run-unit.sh $(call selected,$(UNIT_TESTS))

integration: all
	@CHAT_BIN='$(CURDIR)/$(BUILD)/bin' CHAT_CC='$(CC) $(SANITIZERS)' \
		CHAT_MAKE_VARIABLES='CC=$(CC) SANITIZE=$(SANITIZE)' tests/run-node.sh \
		$(call selected,$(basename $(basename $(wildcard tests/integration/*.test.js tests/interop/*.test.js))))

browser: all
	@CHAT_BIN='$(CURDIR)/$(BUILD)/bin' CHAT_TEST_KIND='browser tests' tests/run-node.sh \
		$(call selected,$(basename $(basename $(wildcard tests/browser/*.test.js))))

# Shows aims and figures side by side; no test, and so it fails nothing.
bench: all
	@-CHAT_BIN='$(CURDIR)/$(BUILD)/bin' node clients/bench/figures.js $(if $(SHORT),--short) $(if $(BRIEF),--brief) $(ONLY)

lint: $(GENERATED)
	@tests/lint.sh

check-readme: all
	@tests/check-readme.sh $(BUILD)/bin

format:
	git ls-files -z '*.c' '*.h' | xargs -0 -r clang-format -i

dependencies:
	@deploy/install-dependencies.sh build
test-dependencies:
	@deploy/install-dependencies.sh test

# The unit file gets the place of the program; the service keeps its data in /var/lib/chatd.
install: all
	$(INSTALL) -d '$(DESTDIR)$(bindir)' '$(DESTDIR)$(unitdir)' '$(DESTDIR)$(datadir)' \
		'$(DESTDIR)$(libdir)/pkgconfig' '$(DESTDIR)$(includedir)'
	$(INSTALL) -m 755 $(PROGRAMS) '$(DESTDIR)$(bindir)'
	$(INSTALL) -m 644 $(BUILD)/lib/$(SONAME) '$(DESTDIR)$(libdir)/libchat.so.$(VERSION)'
	ln -sf libchat.so.$(VERSION) '$(DESTDIR)$(libdir)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(libdir)/libchat.so'
	$(INSTALL) -m 644 $(BUILD)/lib/libchat.a '$(DESTDIR)$(libdir)'
	$(INSTALL) -m 644 clients/libchat/chat.h '$(DESTDIR)$(includedir)'
	sed 's|@prefix@|$(PREFIX)|; s|@libdir@|$(libdir)|; s|@includedir@|$(includedir)|; s|@version@|$(VERSION)|' \
		clients/libchat/libchat.pc.in >'$(DESTDIR)$(libdir)/pkgconfig/libchat.pc'
	chmod 644 '$(DESTDIR)$(libdir)/pkgconfig/libchat.pc'
	$(INSTALL) -m 644 proto/chat.proto LICENSE '$(DESTDIR)$(datadir)'
	sed 's|@bindir@|$(bindir)|g' deploy/chatd.service >'$(DESTDIR)$(unitdir)/chatd.service'
	chmod 644 '$(DESTDIR)$(unitdir)/chatd.service'
	sed 's|@bindir@|$(bindir)|g' deploy/chat-gateway.service >'$(DESTDIR)$(unitdir)/chat-gateway.service'
	chmod 644 '$(DESTDIR)$(unitdir)/chat-gateway.service'
	$(INSTALL) -m 644 deploy/nginx.conf deploy/Caddyfile '$(DESTDIR)$(datadir)'

uninstall:
	rm -f $(foreach program,$(notdir $(PROGRAMS)),'$(DESTDIR)$(bindir)/$(program)')
	rm -f '$(DESTDIR)$(unitdir)/chatd.service' '$(DESTDIR)$(unitdir)/chat-gateway.service'
	rm -f '$(DESTDIR)$(libdir)/libchat.so.$(VERSION)' '$(DESTDIR)$(libdir)/$(SONAME)' \
		'$(DESTDIR)$(libdir)/libchat.so' '$(DESTDIR)$(libdir)/libchat.a' \
		'$(DESTDIR)$(libdir)/pkgconfig/libchat.pc' '$(DESTDIR)$(includedir)/chat.h'
	rm -f '$(DESTDIR)$(datadir)/chat.proto' '$(DESTDIR)$(datadir)/LICENSE' \
		'$(DESTDIR)$(datadir)/nginx.conf' '$(DESTDIR)$(datadir)/Caddyfile'
	-rmdir '$(DESTDIR)$(datadir)' 2>/dev/null

clean:
	rm -rf build
