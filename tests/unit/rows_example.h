/* rows_example.h: a small image with some kinds of rows and a switch of stacks, and comparing rows. */
#ifndef STENT_TESTS_ROWS_EXAMPLE_H
#define STENT_TESTS_ROWS_EXAMPLE_H

#include "validated.h"

#include "unwind/rows_file.h"

#define EXAMPLE_SOURCE \
	"__asm__(\".text\\n.type switch_stack,@function\\nswitch_stack: .cfi_startproc\\n mov %%rsp,(%%rsi)\\n mov %%rdi,%%rsp\\n ret\\n .cfi_endproc\\n\");\n" \
	"extern int outside(int *);\n" \
	"int plain(int a) { return a + %d; }\n" \
	"int framed(int a) { int room[40]; room[0] = a; return outside(room) + plain(a); }\n"

/* Two that differ have the same build-id. */
static inline struct validated *example_build(int constant)
{
	char *source = text_format(EXAMPLE_SOURCE, constant);
	struct validated *built = validated_build(source, "c", "-O2 -fPIC -Wl,--build-id=0x0123456789abcdef0123456789abcdef01234567");

	free(source);
	return built;
}

static inline bool same_rows(const struct rows *one, const struct rows *other)
{
	size_t steps = (size_t)((one->text.end - one->text.start) / ROWS_STEP) + 1;

	return one->text.start == other->text.start && one->text.end == other->text.end && one->count == other->count &&
	       one->fdes == other->fdes && !one->damage && !other->damage &&
	       !memcmp(one->item, other->item, one->count * sizeof(*one->item)) &&
	       !memcmp(one->index, other->index, steps * sizeof(*one->index));
}

#endif
