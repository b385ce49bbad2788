/*
 * patch_example.h: a small patch with one of everything, for the tests of src/patch and of what reads patches.
 */
#ifndef STENT_TESTS_PATCH_EXAMPLE_H
#define STENT_TESTS_PATCH_EXAMPLE_H

#include <elf.h>

#include "patch/patch.h"

/* The slice: code at 0x402000, read-only data with unwind tables inside at 0x404000, writable data at 0x405000. */
#define EXAMPLE_CODE 0x402000u
#define EXAMPLE_CONSTANTS 0x404000u
#define EXAMPLE_DATA 0x405000u

static inline void example_add_segment(struct patch *patch, uint64_t address, uint32_t flags, uint8_t fill)
{
	struct patch_segment *segment = array_add(&patch->segments);

	*segment = (struct patch_segment){ .address = address, .size = PATCH_PAGE, .flags = flags };
	segment->data = memory_zeroed(PATCH_PAGE, 1);
	memset(segment->data, fill, PATCH_PAGE);
}

static inline struct patch_function *example_add_function(struct patch *patch, const char *name, enum change change,
							  enum action action, uint64_t old_entry, uint64_t new_entry)
{
	struct patch_function *function = array_add(&patch->functions);

	*function = (struct patch_function){ .name = text_copy(name), .change = change, .action = action,
					     .old_entry = old_entry, .new_entry = new_entry };
	if (old_entry)
		*array_add(&function->old_ranges) = (struct range){ old_entry, old_entry + 0x40 };
	return function;
}

static inline void example_add_functions(struct patch *patch)
{
	static const uint8_t entry[] = { 0xf3, 0x0f, 0x1e, 0xfa, 0x53, 0x48, 0x89, 0xfb, 0x90 };
	struct patch_function *function;

	function = example_add_function(patch, "main", CHANGE_CALLEES, ACTION_STARTUP, 0x401000, 0x401000);
	function->detail = text_copy("runs once");
	function = example_add_function(patch, "check_length", CHANGE_CODE, ACTION_REDIRECT, 0x401100, 0x402010);
	*array_add(&function->old_ranges) = (struct range){ 0x400800, 0x400810 };
	*array_add(&function->new_ranges) = (struct range){ 0x402010, 0x402050 };
	*array_add(&function->new_ranges) = (struct range){ 0x402800, 0x402820 };
	function->plan = (struct entry_plan){ .offset = 4, .jump = 5, .span = 4 };
	memcpy(function->old_bytes, entry, sizeof(entry));
	function->detail = text_copy("tests the length \xe2\x89\xa4 254");
	function = example_add_function(patch, "image+0x2100", CHANGE_NEW, ACTION_ADD, 0, 0x402100);
	*array_add(&function->new_ranges) = (struct range){ 0x402100, 0x402120 };
	example_add_function(patch, "log_failure", CHANGE_LINE, ACTION_NOISE, 0x401200, 0x402200);
}

/* Free with patch_free(). */
static inline struct patch example_patch(void)
{
	struct patch patch = {
		.name = text_copy("server-1.0-1.1"),
		.description = text_copy("Reject lengths that are not canonical"),
		.tool = text_copy("stent 0.1"),
		.image = text_copy("server"),
		.old_version = text_copy("1.0"),
		.new_version = text_copy("1.1"),
		.machine = EM_X86_64,
		.old_id = { .size = 20, .bytes = "old old old old old " },
		.new_id = { .size = 16, .bytes = "new new new new " },
		.old_span = { 0x400000, 0x408000 },
		.new_span = { 0x400000, 0x409000 },
		.eh_frame = { 0x404100, 0x404180 },
	};
	static const struct patch_binding bindings[] = {
		{ 0x402014, BINDING_PC32, ANCHOR_OLD, 0x401300, -4 },
		{ 0x402018, BINDING_PC32, ANCHOR_SLICE, 0x402100, -4 },
		{ 0x402805, BINDING_PC32, ANCHOR_OLD, 0x408000, -8 },
		{ 0x405000, BINDING_ABSOLUTE64, ANCHOR_IMPORT, 1, 0 },
		{ 0x405ff8, BINDING_ABSOLUTE64, ANCHOR_SLICE, 0x406000, 0 },
	};

	example_add_segment(&patch, EXAMPLE_CODE, SEGMENT_READ | SEGMENT_EXECUTE, 0xcc);
	memset(patch.segments.item[0].data + 0x10, 0x90, 0x40);
	example_add_segment(&patch, EXAMPLE_CONSTANTS, SEGMENT_READ, 0);
	example_add_segment(&patch, EXAMPLE_DATA, SEGMENT_READ | SEGMENT_WRITE, 0x11);
	example_add_functions(&patch);
	for (size_t i = 0; i < sizeof(bindings) / sizeof(bindings[0]); i++)
		*array_add(&patch.bindings) = bindings[i];
	*array_add(&patch.imports) = (struct patch_import){ text_copy("strtoul"), text_copy("GLIBC_2.2.5"), false };
	*array_add(&patch.imports) = (struct patch_import){ text_copy("server_hook"), text_copy(""), true };
	*array_add(&patch.notes) = text_copy("main runs at start-up only: left alone");
	*array_add(&patch.notes) = text_copy("1 function differs in line numbers only");
	return patch;
}

#endif
