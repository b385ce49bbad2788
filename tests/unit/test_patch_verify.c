/*
 * test_patch_verify.c: each thing that docs/format.md asks of a patch, broken alone, is refused by name; and what
 * it allows is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patch/format.h"
#include "patch_example.h"

#include <cmocka.h>	/* last: it has a fail() of its own */

#define REDIRECTED (&patch->functions.item[1])
#define ADDED (&patch->functions.item[2])
#define NOISE (&patch->functions.item[3])

static void set_text(char **text, const char *to)
{
	free(*text);
	*text = to ? text_copy(to) : NULL;
}

static void repeat_letter(char **text, size_t count)
{
	free(*text);
	*text = memory_zeroed(count + 1, 1);
	memset(*text, 'x', count);
}

/* One more than the section headers of ELF can count; without data, which the verification doesn't look at. */
static void add_segments(struct patch *patch, size_t count)
{
	patch->new_span.end = 0x40000000;
	for (size_t i = patch->segments.count; i < count; i++)
		*array_add(&patch->segments) = (struct patch_segment){
			.address = EXAMPLE_CODE + i * 2 * PATCH_PAGE, .size = PATCH_PAGE, .flags = SEGMENT_READ,
		};
}

/* A case is a change to the example and a part of the reason that it must lead to; NULL: it is allowed. */
#define CASE(title, text, change)                                   \
	static const char *title(struct patch *patch)               \
	{                                                           \
		change;                                             \
		return text;                                        \
	}

CASE(whole, NULL, (void)patch)
CASE(machine, "machine 40, which stent does not know", patch->machine = 40)
CASE(no_old_id, "build-id of the patch is not", patch->old_id.size = 0)
CASE(long_new_id, "build-id of the patch is not", patch->new_id.size = BUILD_ID_MAX + 1)
CASE(same_ids, "build-id are the same", patch->new_id = patch->old_id)
CASE(one_id_begins_the_other, NULL, patch->new_id = patch->old_id; patch->new_id.size--)
CASE(old_span_empty, "span of the old image", patch->old_span.end = patch->old_span.start)
CASE(new_span_unaligned, "span of the new image", patch->new_span.end++)
CASE(new_span_turned, "span of the new image", patch->new_span.start = 0x40a000)

CASE(name_missing, "name is not", set_text(&patch->name, NULL))
CASE(name_empty, "name is not", set_text(&patch->name, ""))
CASE(name_long, "name is not", repeat_letter(&patch->name, 201))
CASE(name_longest, NULL, repeat_letter(&patch->name, 200))
CASE(name_slash, "name is not", set_text(&patch->name, "a/b"))
CASE(name_space, "name is not", set_text(&patch->name, "a b"))
CASE(name_letters, NULL, set_text(&patch->name, "AZaz09._+:~@-"))
CASE(description_two_lines, "description is not", set_text(&patch->description, "a\nb"))
CASE(description_escape, "description is not", set_text(&patch->description, "\x1b[2J"))
CASE(description_c1, "description is not", set_text(&patch->description, "\xc2\x9b" "2J"))
CASE(description_delete, "description is not", set_text(&patch->description, "\x7f"))
CASE(description_cut, "description is not", set_text(&patch->description, "\xe2\x89"))
CASE(description_overlong, "description is not", set_text(&patch->description, "\xe0\x80\xaf"))
CASE(description_surrogate, "description is not", set_text(&patch->description, "\xed\xa0\x80"))
CASE(description_too_high, "description is not", set_text(&patch->description, "\xf4\x90\x80\x80"))
CASE(description_stray, "description is not", set_text(&patch->description, "\x80"))
CASE(description_latin1, "description is not", set_text(&patch->description, "na\xefve"))
CASE(description_edges, NULL, set_text(&patch->description, "\xc2\xa0\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xef\xbf\xbf"
							    "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"))
CASE(tool_missing, "tool is not", set_text(&patch->tool, NULL))
CASE(image_empty, "image is not a file name", set_text(&patch->image, ""))
CASE(image_folder, "image is not a file name", set_text(&patch->image, "bin/server"))
CASE(version_bad, "new version is not", set_text(&patch->new_version, "1\t2"))
CASE(note_bad, "note 1 is not", set_text(&patch->notes.item[1], "\x01"))
CASE(note_empty, "note 0 is not", set_text(&patch->notes.item[0], ""))

CASE(segment_unaligned, "segment 0 is empty or not page aligned", patch->segments.item[0].address += 8)
CASE(segment_size, "segment 1 is empty or not page aligned", patch->segments.item[1].size--)
CASE(segment_empty, "segment 1 is empty or not page aligned", patch->segments.item[1].size = 0)
CASE(segment_below, "segment 0 at 0x402000 is outside", patch->new_span.start = 0x403000)
CASE(segment_above, "segment 2 at 0x405000 is outside", patch->new_span.end = 0x405000)
CASE(segment_wraps, "segment 2 at 0x405000 is outside", patch->segments.item[2].size = -(uint64_t)PATCH_PAGE)
CASE(segment_overlaps, "segment 1 at 0x404000 is outside of the new image's span or not behind",
     patch->segments.item[0].size = 0x3000)
CASE(segment_unreadable, "has flags 0x2", patch->segments.item[2].flags = SEGMENT_WRITE)
CASE(segment_both, "has flags 0x7", patch->segments.item[0].flags = 7)
CASE(segment_unknown, "has flags 0xc", patch->segments.item[1].flags = 12)

CASE(segments_most, NULL, add_segments(patch, FORMAT_SEGMENTS_MAX))
CASE(segments_too_many, "65001 segments are too many", add_segments(patch, FORMAT_SEGMENTS_MAX + 1))

CASE(tables_outside, "unwind tables at 0x406000", patch->eh_frame = ((struct range){ 0x406000, 0x406100 }))
CASE(tables_turned, "unwind tables at 0x404100", patch->eh_frame.end = 0x404000)
CASE(tables_across, "unwind tables at 0x404100", patch->eh_frame.end = 0x405008)
CASE(tables_empty, "unwind tables at 0x404100", patch->eh_frame.end = patch->eh_frame.start)

CASE(binding_type, "binding 0 at 0x402014 has the unknown type 3", patch->bindings.item[0].type = 3)
CASE(binding_anchor, "binding 0 at 0x402014 has target", patch->bindings.item[0].anchor = 3)
CASE(import_not_there, "binding 3 at 0x405000 has target", patch->bindings.item[3].target = 2)
CASE(import_relative, "binding 0 at 0x402014 has target", patch->bindings.item[0].anchor = ANCHOR_IMPORT; patch->bindings.item[0].target = 0)
CASE(import_nameless, "the name of import 0", set_text(&patch->imports.item[0].name, ""))
CASE(import_bad_version, "the name of import 1", set_text(&patch->imports.item[1].version, "a\nb"))
CASE(binding_overlaps, "binding 1 at 0x402017 is not behind", patch->bindings.item[1].where = 0x402017)
CASE(binding_outside, "binding 2 at 0x403000 is not inside", patch->bindings.item[2].where = 0x403000)
CASE(binding_edge, "binding 4 at 0x405ff9 is not inside", patch->bindings.item[4].where++)
CASE(binding_wraps, "binding 4 at 0xfffffffffffffffc is not inside", patch->bindings.item[4].where = -4)
CASE(binding_across, "binding 3 at 0x404ffc is not inside", patch->bindings.item[3].where = 0x404ffc)
CASE(target_below, "has target 0x3fffff", patch->bindings.item[0].target = 0x3fffff)
CASE(target_above, "has target 0x408001", patch->bindings.item[0].target = 0x408001)
CASE(target_not_in_slice, "has target 0x403001", patch->bindings.item[1].target = 0x403001)
CASE(target_ends_segment, NULL, patch->bindings.item[1].target = 0x403000)
CASE(absolute32, "is a 32-bit address", patch->bindings.item[0].type = BINDING_ABSOLUTE32S)

CASE(function_unnamed, "name of function 1 is not", set_text(&REDIRECTED->name, ""))
CASE(function_name_bad, "name of function 1 is not", set_text(&REDIRECTED->name, "\x1b"))
CASE(function_detail_bad, "its detail is not", set_text(&REDIRECTED->detail, "\xff"))
CASE(function_unsorted, "check_length: is not sorted", REDIRECTED->new_entry = 0x400fff)
CASE(function_change, "unknown change 8", REDIRECTED->change = CHANGE_COUNT)
CASE(function_action, "or action 4", REDIRECTED->action = ACTION_COUNT)
CASE(new_redirected, "is new, and yet to be redirected", REDIRECTED->change = CHANGE_NEW)
CASE(added_with_entry, "is added, and yet has code", ADDED->old_entry = 0x401000)
CASE(added_with_range, "is added, and yet has code",
     *array_add(&ADDED->old_ranges) = ((struct range){ 0x401000, 0x401010 }))
CASE(old_range_outside, "old range 1 is empty or outside", REDIRECTED->old_ranges.item[1].start = 0x3ff000)
CASE(old_range_above, "old range 0 is empty or outside", REDIRECTED->old_ranges.item[0].end = 0x408001)
CASE(old_range_empty, "old range 1 is empty or outside", REDIRECTED->old_ranges.item[1].end = 0x400800)
CASE(old_ranges_overlap, "its old ranges overlap",
     REDIRECTED->old_ranges.item[1] = ((struct range){ 0x4010ff, 0x401101 }))
CASE(old_ranges_missing, "its old entry is not in its first", REDIRECTED->old_ranges.count = 0)
CASE(old_ranges_missing_noise, "log_failure: its old entry is not in its first", NOISE->old_ranges.count = 0)
CASE(old_entry_elsewhere, "its old entry is not in its first", REDIRECTED->old_entry = 0x400800)
CASE(new_entry_outside, "its new entry is outside", NOISE->new_entry = 0x409000)
CASE(noise_with_code, "is left alone, and yet has new code",
     *array_add(&NOISE->new_ranges) = ((struct range){ 0x402200, 0x402210 }))
CASE(new_range_not_code, "new range 1 is empty or not inside", REDIRECTED->new_ranges.item[1] = patch->eh_frame)
CASE(new_range_across, "new range 1 is empty or not inside", REDIRECTED->new_ranges.item[1].end = 0x403001)
CASE(new_range_empty, "new range 1 is empty or not inside", REDIRECTED->new_ranges.item[1].end = 0x402800)
CASE(new_ranges_overlap, "its new ranges overlap", REDIRECTED->new_ranges.item[1].start = 0x40204f)
CASE(new_ranges_missing, "its new entry is not in its first", ADDED->new_ranges.count = 0)
CASE(new_entry_elsewhere, "its new entry is not in its first", ADDED->new_entry = 0x402120)

CASE(plan_for_noise, "is not redirected, and yet has a plan", NOISE->plan.jump = 5)
CASE(plan_without_jump, "the plan for its entry is empty", REDIRECTED->plan.jump = 0)
CASE(plan_without_span, "the plan for its entry is empty", REDIRECTED->plan.span = 0)
CASE(plan_long_span, "longer than 32 bytes", REDIRECTED->plan.span = 29)
CASE(plan_long_jump, "longer than 32 bytes", REDIRECTED->plan.jump = 29)
CASE(plan_longest, NULL, REDIRECTED->plan.span = 28)
CASE(plan_behind_end, "displaces instructions behind its end", REDIRECTED->old_ranges.item[0].end = 0x401107)
CASE(plan_in_padding, NULL, REDIRECTED->old_ranges.item[0].end = 0x401108)
CASE(plan_site_outside, "its site is not inside the old image",
     REDIRECTED->old_entry = 0x407ff8; REDIRECTED->old_ranges.item[0] = ((struct range){ 0x407ff8, 0x408000 }))
CASE(sites_overlap, "sites of two functions overlap",
     NOISE->action = ACTION_REDIRECT; NOISE->plan = ((struct entry_plan){ 0, 5, 5 }); NOISE->old_entry = 0x401108;
     NOISE->old_ranges.item[0] = ((struct range){ 0x401108, 0x401120 });
     *array_add(&NOISE->new_ranges) = ((struct range){ 0x402200, 0x402210 }))
CASE(sites_touch, NULL,
     NOISE->action = ACTION_REDIRECT; NOISE->plan = ((struct entry_plan){ 0, 5, 5 }); NOISE->old_entry = 0x401109;
     NOISE->old_ranges.item[0] = ((struct range){ 0x401109, 0x401120 });
     *array_add(&NOISE->new_ranges) = ((struct range){ 0x402200, 0x402210 }))

static const struct {
	const char *name;
	const char *(*change)(struct patch *patch);
} cases[] = {
#define ENTRY(title) { #title, title }
	ENTRY(whole), ENTRY(machine), ENTRY(no_old_id), ENTRY(long_new_id), ENTRY(same_ids),
	ENTRY(one_id_begins_the_other), ENTRY(old_span_empty), ENTRY(new_span_unaligned), ENTRY(new_span_turned),
	ENTRY(name_missing), ENTRY(name_empty), ENTRY(name_long), ENTRY(name_longest), ENTRY(name_slash),
	ENTRY(name_space), ENTRY(name_letters), ENTRY(description_two_lines), ENTRY(description_escape),
	ENTRY(description_c1), ENTRY(description_delete), ENTRY(description_cut), ENTRY(description_overlong),
	ENTRY(description_surrogate), ENTRY(description_too_high), ENTRY(description_stray),
	ENTRY(description_latin1), ENTRY(description_edges), ENTRY(tool_missing), ENTRY(image_empty),
	ENTRY(image_folder), ENTRY(version_bad), ENTRY(note_bad), ENTRY(note_empty),
	ENTRY(segment_unaligned), ENTRY(segment_size), ENTRY(segment_empty), ENTRY(segment_below),
	ENTRY(segment_above), ENTRY(segment_wraps), ENTRY(segment_overlaps), ENTRY(segment_unreadable),
	ENTRY(segment_both), ENTRY(segment_unknown), ENTRY(segments_most), ENTRY(segments_too_many), ENTRY(tables_outside), ENTRY(tables_turned),
	ENTRY(tables_across), ENTRY(tables_empty), ENTRY(binding_type), ENTRY(binding_anchor), ENTRY(import_not_there), ENTRY(import_relative),
	ENTRY(import_nameless), ENTRY(import_bad_version),
	ENTRY(binding_overlaps), ENTRY(binding_outside), ENTRY(binding_edge), ENTRY(binding_wraps),
	ENTRY(binding_across), ENTRY(target_below), ENTRY(target_above), ENTRY(target_not_in_slice),
	ENTRY(target_ends_segment), ENTRY(absolute32), ENTRY(function_unnamed), ENTRY(function_name_bad),
	ENTRY(function_detail_bad), ENTRY(function_unsorted), ENTRY(function_change), ENTRY(function_action),
	ENTRY(new_redirected), ENTRY(added_with_entry), ENTRY(added_with_range), ENTRY(old_range_outside),
	ENTRY(old_range_above), ENTRY(old_range_empty), ENTRY(old_ranges_overlap), ENTRY(old_ranges_missing),
	ENTRY(old_ranges_missing_noise), ENTRY(old_entry_elsewhere), ENTRY(new_entry_outside),
	ENTRY(noise_with_code), ENTRY(new_range_not_code), ENTRY(new_range_across), ENTRY(new_range_empty),
	ENTRY(new_ranges_overlap), ENTRY(new_ranges_missing), ENTRY(new_entry_elsewhere), ENTRY(plan_for_noise),
	ENTRY(plan_without_jump), ENTRY(plan_without_span), ENTRY(plan_long_span), ENTRY(plan_long_jump),
	ENTRY(plan_longest), ENTRY(plan_behind_end), ENTRY(plan_in_padding), ENTRY(plan_site_outside),
	ENTRY(sites_overlap), ENTRY(sites_touch),
};

static void test_case(void **state)
{
	const char *(*change)(struct patch *patch) = cases[*(size_t *)*state].change;
	struct patch patch = example_patch();
	struct error error = { 0 };
	const char *reason = change(&patch);
	enum status status = patch_verify(&patch, &error);

	if (!reason && status)
		fail_msg("refused with '%s'", error.text);
	if (reason && status != STATUS_ERROR)
		fail_msg("not refused");
	if (reason && !strstr(error.text, reason))
		fail_msg("refused with '%s' instead of '%s'", error.text, reason);
	error_clear(&error);
	patch_free(&patch);
}

int main(void)
{
	static struct CMUnitTest tests[sizeof(cases) / sizeof(cases[0])];
	static size_t index[sizeof(cases) / sizeof(cases[0])];

	alarm(60);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		index[i] = i;
		tests[i] = (struct CMUnitTest){ .name = cases[i].name, .test_func = test_case,
						.initial_state = &index[i] };
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
