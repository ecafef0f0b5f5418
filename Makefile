# all, run, test, lint, format, install, clean; see "make help".
#
#   make CC=clang                     another compiler
#   make SANITIZE=address,undefined   or SANITIZE=thread; built apart, in build/<sanitizers>/

CC = gcc
SANITIZE =
BUILD := build$(if $(SANITIZE),/san-$(subst $(comma),-,$(SANITIZE)),)$(if $(filter-out gcc cc,$(CC)),/$(CC),)
comma := ,

PACKAGES = libuv libnats libprotobuf-c lmdb jansson libcrypto libisal
CPPFLAGS = -I. -I$(BUILD)/generated -D_GNU_SOURCE
CFLAGS = -std=c17 -O2 -g -fno-omit-frame-pointer
WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wundef \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Werror
LDFLAGS =
LDLIBS = -lnats -luv -lprotobuf-c -llmdb -ljansson -lcrypto -lisal -lpthread
DEPFLAGS = -MMD -MP
ifneq ($(SANITIZE),)
CFLAGS += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
LDFLAGS += -fsanitize=$(SANITIZE)
endif

GENERATED = $(BUILD)/generated/chat.pb-c.c $(BUILD)/generated/google/protobuf/timestamp.pb-c.c
PROTO_INCLUDE = $(firstword $(wildcard /usr/include/google/protobuf/timestamp.proto))

# Programs and the rooms they are built from. A file named *_main.c holds a program's main().
sources = $(filter-out %_main.c,$(wildcard $(1)/*.c))
objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
BASE = $(call objects,$(call sources,base))
PROTO = $(call objects,$(call sources,proto)) $(patsubst %.c,%.o,$(GENERATED))
STORE = $(call objects,$(call sources,store))
SERVICE = $(call objects,$(call sources,service))
CLIENTS = $(call objects,$(call sources,clients))
LIBRARY = $(BUILD)/libchatall.a

PROGRAMS = $(patsubst service/%_main.c,$(BUILD)/bin/%,$(wildcard service/*_main.c)) \
	$(patsubst store/%_main.c,$(BUILD)/bin/%,$(wildcard store/*_main.c)) \
	$(patsubst clients/%_main.c,$(BUILD)/bin/%,$(wildcard clients/*_main.c))
UNIT_TESTS = $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all unit clean

all: $(PROGRAMS)

$(BUILD)/generated/chat.pb-c.c: proto/chat.proto
	@mkdir -p $(@D)
	protoc-c -I proto -I /usr/include --c_out=$(@D) proto/chat.proto google/protobuf/timestamp.proto
$(BUILD)/generated/chat.pb-c.h $(BUILD)/generated/google/protobuf/timestamp.pb-c.c: $(BUILD)/generated/chat.pb-c.c

$(BUILD)/generated/%.o: $(BUILD)/generated/%.c
	$(CC) $(CPPFLAGS) $(CFLAGS) $(DEPFLAGS) -c -o $@ $<
$(BUILD)/%.o: %.c | $(BUILD)/generated/chat.pb-c.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/bin/%: $(BUILD)/service/%_main.o $(SERVICE) $(STORE) $(PROTO) $(BASE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/bin/%: $(BUILD)/store/%_main.o $(STORE) $(PROTO) $(BASE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/bin/%: $(BUILD)/clients/%_main.o $(CLIENTS) $(PROTO) $(BASE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Unit tests link against everything that has no main(); the linker takes what each needs.
$(LIBRARY): $(BASE) $(PROTO) $(STORE) $(SERVICE) $(CLIENTS)
	@rm -f $@
	ar rcs $@ $^
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(LIBRARY) -lcmocka $(LDLIBS)

unit: $(UNIT_TESTS)
	@for t in $(UNIT_TESTS); do echo "== $$t"; $$t || exit 1; done

clean:
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
