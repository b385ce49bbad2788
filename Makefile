# stent: live patching for Linux. Targets: all (default), demo, check, clean; docs/design.md says what is where.

CC       ?= gcc
BUILD    ?= build
CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
VERSION  := 0.1

CPPFLAGS += -Isrc -D_GNU_SOURCE -DSTENT_VERSION='"$(VERSION)"'
COMPILE   = $(CC) -std=c17 $(CPPFLAGS) $(CFLAGS) $(WARNINGS) -MMD -MP
LIBS     := -lelf -lZydis -ljansson

SOURCES  := $(filter-out src/main.c,$(sort $(wildcard src/*/*.c src/*/*/*.c)))
OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o)

all: $(BUILD)/stent

$(BUILD)/stent: $(BUILD)/src/main.o $(BUILD)/libstent.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/libstent.a: $(OBJECTS)
	rm -f $@
	ar rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

# Unit tests: one program per tests/unit/test_*.c.
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
unit: $(UNIT)
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/libstent.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

clean:
	rm -rf $(BUILD)

.PHONY: all unit clean
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
