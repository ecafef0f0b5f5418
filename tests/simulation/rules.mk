# The simulation: the real store in a world of its own (see simulation.c). The world takes the place
# of libuv, the threads, the journal's and the database's files, so these are not linked; nor is
# what the operator's tool has beyond the store.
SIMULATION_SOURCES = $(wildcard tests/simulation/*.c)
SIMULATION = $(BUILD)/tests/simulation/simulation
SIMULATED = $(filter $(addprefix $(BUILD)/store/,store%.o slices.o message_order.o state.o tail.o message_page.o table.o \
	client_filter.o reader.o radix.o command.o digest.o crc32c.o status.o),$(STORE))
# Of base, what has no thread and no socket.
SIMULATED += $(filter-out %/handshake.o %/side_thread.o,$(BASE))
OBJECTS += $(call objects,$(SIMULATION_SOURCES))

$(SIMULATION): $(call objects,$(SIMULATION_SOURCES)) $(SIMULATED) $(PROTO)
	@mkdir -p $(@D)
	$(call say,LINK)$(LINK) -Wl,$(subst $() ,$(comma),$(patsubst %,--wrap=%,malloc calloc realloc \
		free strdup getrandom state_evict)) -o $@ $^ -lprotobuf-c -ljansson -lcrypto -lisal

.PHONY: simulation simulation-mutants
simulation: $(SIMULATION)
	@tests/run-simulation.sh $(SIMULATION)
simulation-mutants:
	@tests/simulation/mutants.sh
