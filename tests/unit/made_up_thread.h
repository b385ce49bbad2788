/*
 * made_up_thread.h: unwind data, code and a stack that exist in the test's own memory only.
 */
#ifndef STENT_TESTS_MADE_UP_THREAD_H
#define STENT_TESTS_MADE_UP_THREAD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "unwind/rows.h"
#include "unwind/walk.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define CODE 0x10000		/* functions of 0x100 bytes each */
#define FUNCTION(number) (CODE + 0x100 * (uint64_t)(number))
#define CODE_SIZE 0x1000
#define STACK 0x7fff0000
#define WORDS 5000

/* A place behind a call in a function: the byte before it is one, as far as fake_arch is concerned. The end of a thread. */
#define CALL 0xe8
#define EXIT 0xf4
#define RETURN_TO(number) (FUNCTION(number) + 0x50)

enum {
	LEAF,		/* CFA = rsp + 16 */
	MIDDLE,		/* CFA = rbp + 16, rbp saved below the return address */
	ENTRY,		/* no caller */
	RESTORER,	/* signal frame as glibc's, with the registers from rsp + 16 on; its FDE begins one byte earlier */
	BARE,		/* CFA = rsp + 8 */
	POPPED,		/* CFA = rsp, the return address is in rdi */
	ODD,		/* what a test wants: see odd_program */
	UNKNOWN,	/* no FDE */
};

struct world {
	uint8_t section_bytes[1024], code[CODE_SIZE];
	struct eh_frame section;
	uint64_t stack[WORDS];
	size_t hole;			/* index of a word that can't be read */
	struct unwind_start start;
	struct unwind_module module[2];	/* the second one begins with MIDDLE */
	struct rows *rows;
	bool no_rows, unchecked;	/* modules without rows; rows that nobody has validated */
	struct range altered;		/* part of the code that is not what its rows are about */
};

/* Words of the stack, from the restorer's rsp on, that its frame has registers at: 16 bytes, then the kernel's order. */
enum { SIGNAL_RDI = 2 + 8, SIGNAL_RBP = 2 + 10, SIGNAL_RSP = 2 + 15, SIGNAL_RIP = 2 + 16 };

static void add(struct world *world, const void *bytes, size_t size)
{
	assert_true(world->section.size + size <= sizeof(world->section_bytes));
	memcpy(world->section_bytes + world->section.size, bytes, size);
	world->section.size += size;
}

static void add_word(struct world *world, uint32_t word)
{
	add(world, &word, sizeof(word));
}

static void close_record(struct world *world, size_t start)
{
	store32(world->section_bytes + start, (uint32_t)(world->section.size - start - 4));
}

/* CFA = rsp + 8, return address at CFA - 8; addresses as udata4 */
static size_t add_cie(struct world *world, const char *augmentation)
{
	size_t start = world->section.size;

	add_word(world, 0);
	add_word(world, 0);
	add(world, "\x01", 1);
	add(world, augmentation, strlen(augmentation) + 1);
	add(world, "\x01\x78\x10\x01\x03\x0c\x07\x08\x90\x01", 10);
	close_record(world, start);
	return start;
}

static void add_fde(struct world *world, size_t cie, uint64_t address, uint32_t size, const char *program,
		    size_t program_size)
{
	size_t start = world->section.size;

	add_word(world, 0);
	add_word(world, (uint32_t)(world->section.size - cie));
	add_word(world, (uint32_t)address);
	add_word(world, size);
	add(world, "\0", 1);
	add(world, program, program_size);
	close_record(world, start);
}

#define PROGRAM(bytes) (bytes), sizeof(bytes) - 1

/* Expressions DW_OP_breg7 n, n in two bytes. */
static size_t add_signal_program(char *program)
{
	static const uint8_t slot[] = { 104, 96, 112, 88, 72, 64, 80, 120, 0, 8, 16, 24, 32, 40, 48, 56, 128 };
	size_t size = 0;

	memcpy(program, "\x0f\x04\x77\x88\x01\x06", 6);	/* CFA: word at rsp + 16 + 120 */
	size = 6;
	for (unsigned int i = 0; i < sizeof(slot); i++) {
		unsigned int offset = 16u + slot[i];
		const char rule[] = { 0x10, (char)i, 3, 0x77, (char)((offset & 0x7f) | 0x80), (char)(offset >> 7) };

		memcpy(program + size, rule, sizeof(rule));
		size += sizeof(rule);
	}
	return size;
}

static struct world *world_new(const char *odd_program, size_t odd_size)
{
	struct world *world = memory_zeroed(1, sizeof(*world));
	size_t call_frame, signal_frame;
	char signal_program[128];

	world->section = (struct eh_frame){ world->section_bytes, 0, 0 };
	call_frame = add_cie(world, "zR");
	signal_frame = add_cie(world, "zRS");
	add_fde(world, call_frame, FUNCTION(LEAF), 0x100, PROGRAM("\x0e\x10"));
	add_fde(world, call_frame, FUNCTION(MIDDLE), 0x100, PROGRAM("\x0c\x06\x10\x86\x02"));
	add_fde(world, call_frame, FUNCTION(ENTRY), 0xff, PROGRAM("\x07\x10"));
	add_fde(world, signal_frame, FUNCTION(RESTORER) - 1, 0x10, signal_program, add_signal_program(signal_program));
	add_fde(world, call_frame, FUNCTION(BARE), 0x100, PROGRAM(""));
	add_fde(world, call_frame, FUNCTION(POPPED), 0x100, PROGRAM("\x0e\x00\x09\x10\x05"));
	add_fde(world, call_frame, FUNCTION(ODD), 0x100, odd_program, odd_size);

	for (unsigned int number = LEAF; number <= UNKNOWN; number++)
		world->code[RETURN_TO(number) - 1 - CODE] = CALL;
	world->code[RETURN_TO(ENTRY) - CODE] = EXIT;
	world->hole = SIZE_MAX;
	world->module[0] = (struct unwind_module){ .code = { CODE, FUNCTION(MIDDLE) } };
	world->module[1] = (struct unwind_module){ .code = { FUNCTION(MIDDLE), CODE + CODE_SIZE } };

	/* leaf, called by middle, called by entry */
	world->start.registers[16] = FUNCTION(LEAF) + 0x10;
	world->start.stack = (struct range){ STACK, STACK + sizeof(world->stack) };
	world->start.registers[7] = STACK + 8 * 4;
	world->stack[5] = RETURN_TO(MIDDLE);
	world->start.registers[6] = STACK + 8 * 8;
	world->stack[8] = STACK + 8 * 10;	/* entry's rbp */
	world->stack[9] = RETURN_TO(ENTRY);
	return world;
}

static void world_free(struct world *world)
{
	rows_free(world->rows);
	free(world);
}

static bool read_world(void *context, uint64_t address, void *out, size_t size)
{
	const struct world *world = context;

	/* The walk asks for nothing outside of the stack. */
	assert_true(address >= world->start.stack.start && address + size <= world->start.stack.end);
	if (world->hole != SIZE_MAX && address < STACK + 8 * world->hole + 8 && address + size > STACK + 8 * world->hole)
		return false;
	memcpy(out, (const uint8_t *)world->stack + (address - STACK), size);
	return true;
}

static bool fake_ends_with_call(const uint8_t *end, size_t size)
{
	return size && end[-1] == CALL;
}

static size_t fake_thread_end(const uint8_t *code, size_t size)
{
	return size && *code == EXIT;
}

static const struct arch fake_arch = {
	.name = "made-up",
	.ends_with_call = fake_ends_with_call,
	.thread_end = fake_thread_end,
};

/* As if the validator had agreed with all that can be known. */
static void make_exact(struct rows *rows)
{
	for (uint32_t i = 0; i < rows->count; i++)
		rows->item[i].verdict = rows->item[i].kind == ROW_UNRELIABLE ? ROW_UNVERIFIABLE : ROW_EXACT;
}

static void walk(struct world *world, struct unwind_trace *trace)
{
	const struct unwind_memory memory = { .read = read_world, .context = world };

	rows_free(world->rows);
	world->rows = rows_build(&world->section, (struct range){ CODE, CODE + CODE_SIZE });
	if (!world->unchecked)
		make_exact(world->rows);
	for (unsigned int i = 0; i < 2; i++) {
		struct unwind_module *module = &world->module[i];

		module->rows = world->no_rows ? NULL : world->rows;
		module->why = "code without unwind data";
		module->text = world->code + (module->code.start - CODE);
		module->altered = &world->altered;
		module->altered_count = world->altered.end != 0;
		module->name = "made-up";
	}
	unwind_walk(world->module, 2, &fake_arch, &world->start, &memory, trace);
}

static void expect_proven(struct world *world, size_t frames)
{
	struct unwind_trace *trace = memory_zeroed(1, sizeof(*trace));

	walk(world, trace);
	if (trace->doubt)
		fail_msg("%s", trace->doubt);
	assert_true(unwind_trace_proven(trace));
	assert_true(trace->ended);
	assert_int_equal(trace->frames.count, frames);
	unwind_trace_free(trace);
	free(trace);
}

/* Consumes the world. */
static void expect_doubt(struct world *world, uint64_t pc, const char *why)
{
	struct unwind_trace *trace = memory_zeroed(1, sizeof(*trace));
	const struct unwind_frame *frame;
	char expected[200], reason[200];

	walk(world, trace);
	assert_false(unwind_trace_proven(trace));
	frame = &trace->frames.item[trace->doubtful];
	snprintf(expected, sizeof(expected), "0x%" PRIx64 "%s: %s", pc, frame->module ? " in made-up" : "", why);
	unwind_trace_reason(trace, reason, sizeof(reason));
	assert_string_equal(reason, expected);
	assert_string_equal(frame->doubt, why);
	unwind_trace_free(trace);
	free(trace);
	world_free(world);
}

#endif
