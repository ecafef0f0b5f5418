# The fault tests: their programs, and the library that is loaded in front of libc.
#
#   make faults                  the long form: about half an hour
#   make faults FAULTS=short     what "make test" runs
#   make faults TESTS="kill"     some of them
FAULTS = long
FAULT_SOURCES = $(wildcard tests/faults/*.c)
SHIM = $(BUILD)/tests/faults/shim.so
FAULT_TOOLS = $(patsubst %.c,$(BUILD)/%,$(filter-out %/shim.c,$(FAULT_SOURCES))) $(SHIM)
OBJECTS += $(call objects,$(FAULT_SOURCES))

$(SHIM): CFLAGS += -fPIC
$(SHIM): $(BUILD)/tests/faults/shim.o
	@mkdir -p $(@D)
	$(call say,LINK)$(LINK) -shared -o $@ $< -ldl
$(BUILD)/tests/faults/%: $(BUILD)/tests/faults/%.o $(LIBRARY)
	$(link)

.PHONY: faults fault-tools
fault-tools: $(FAULT_TOOLS)
faults: all fault-tools
	@CHAT_BIN='$(CURDIR)/$(BUILD)/bin' CHAT_FAULTS='$(FAULTS)' CHAT_TEST_KIND='fault tests' \
		CHAT_TEST_TIMEOUT_S='$(if $(filter short,$(FAULTS)),900,10800)' tests/run-node.sh \
		$(call selected,$(basename $(basename $(wildcard tests/faults/*.test.js))))
