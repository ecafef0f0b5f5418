# Fuzz targets: clang's libFuzzer with the address and undefined-behaviour sanitizers, in a build
# folder of their own. FUZZ="protobuf json" for some of them, FUZZ_SECONDS for each.
FUZZ_SOURCES = $(wildcard tests/fuzz/*.c)
FUZZ_HELPERS = $(call objects,$(filter-out tests/fuzz/fuzz_%,$(FUZZ_SOURCES)))
FUZZERS = $(patsubst %.c,$(BUILD)/%,$(filter tests/fuzz/fuzz_%,$(FUZZ_SOURCES)))
EDGE_VARIANT = CC=clang SANITIZE=address,undefined
FUZZ_VARIANT = CC=clang SANITIZE=address,undefined,fuzzer-no-link
OBJECTS += $(call objects,$(FUZZ_SOURCES))

$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_HELPERS) $(LIBRARY)
	@mkdir -p $(@D)
	$(call say,LINK)$(LINK) -fsanitize=fuzzer -o $@ $^ $(LIBRARIES) $(GATEWAY_LIBRARIES)

.PHONY: fuzz fuzz-programs
fuzz-programs: $(if $(FUZZ),$(addprefix $(BUILD)/tests/fuzz/fuzz_,$(FUZZ)),$(FUZZERS))
fuzz:
	@$(MAKE) --no-print-directory $(FUZZ_VARIANT) fuzz-programs
	@status=0; $(if $(FUZZ),,$(MAKE) --no-print-directory $(EDGE_VARIANT) fuzz-edge & edge=$$!;) \
		tests/run-fuzz.sh $(if $(FUZZ),$(addprefix fuzz_,$(FUZZ)),$(notdir $(FUZZERS))) || status=1; \
		$(if $(FUZZ),,wait $$edge || status=1;) exit $$status

# The gateway's edge: not a target of libFuzzer, but the whole program behind its sockets. "make fuzz"
# runs it beside the targets, with sanitizers.
.PHONY: fuzz-edge
fuzz-edge: all
	@CHAT_BIN='$(CURDIR)/$(BUILD)/bin' CHAT_TEST_KIND='fuzzing the edge' tests/run-node.sh tests/fuzz/edge
