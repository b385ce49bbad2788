/* Instructions that were met before are taken from memory: that must make no difference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <link.h>
#include <string.h>

#undef fail	/* base/error.h has one too */
#include "arch/x86_64/memo.h"

/* What Zydis says, without a look at the memory. */
static bool decode_anew(const uint8_t *code, size_t size, uint64_t address, struct insn *insn, struct insn_effect *effect)
{
	ZydisDecodedInstruction decoded;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&x86_64_decoder, code, size, &decoded, operand)))
		return false;
	x86_64_describe(&decoded, operand, address, insn);
	x86_64_describe_effect(&decoded, operand, address, effect);
	return true;
}

static bool same_ref(const struct insn_ref *one, const struct insn_ref *other)
{
	return one->kind == other->kind && one->offset == other->offset && one->size == other->size &&
	       one->access == other->access && one->target == other->target;
}

static bool same_number(struct insn_number one, struct insn_number other)
{
	return one.offset == other.offset && one.size == other.size;
}

static bool same_insn(const struct insn *one, const struct insn *other)
{
	return one->length == other->length && one->kind == other->kind && one->on_stack == other->on_stack &&
	       one->thread_local_access == other->thread_local_access && one->clobbers == other->clobbers &&
	       same_ref(&one->ref[0], &other->ref[0]) && same_ref(&one->ref[1], &other->ref[1]) &&
	       same_number(one->displacement, other->displacement) && same_number(one->immediate, other->immediate);
}

static bool same_effect(const struct insn_effect *one, const struct insn_effect *other)
{
	return one->length == other->length && one->insn == other->insn && one->kind == other->kind && one->faults == other->faults &&
	       one->pops == other->pops && one->subtracts == other->subtracts && one->base == other->base &&
	       one->spoils_frame == other->spoils_frame && one->refers == other->refers && one->target == other->target && one->source == other->source &&
	       one->index == other->index && one->size == other->size && one->offset == other->offset &&
	       one->writes == other->writes && one->address == other->address;
}

/* An instruction that is said to be plain is one of that length that refers to nothing, and no branch. */
static bool is_plain_right(size_t plain, bool good, const struct insn *insn)
{
	return !plain || (good && plain == insn->length && insn->kind == INSN_OTHER && insn->ref[0].kind == REF_NONE && insn->ref[1].kind == REF_NONE);
}

static size_t count_differences(const uint8_t *code, size_t size, uint64_t address)
{
	const struct arch *arch = &arch_x86_64;
	size_t differences = 0;

	/* At every byte, so that it is not only what compilers write; and cut short at every length, now and then. */
	for (size_t at = 0; at + 16 <= size; at++) {
		size_t length = at % 3 ? size - at : at % 17;
		struct insn insn = { 0 }, plain_insn = { 0 };
		struct insn_effect effect = { 0 }, plain_effect = { 0 };
		bool good = decode_anew(code + at, length, address + at, &plain_insn, &plain_effect);

		differences += good != arch->decode(code + at, length, address + at, &insn) || !same_insn(&insn, &plain_insn);
		differences += !is_plain_right(arch->plain(code + at, length), good, &plain_insn);
		differences += good != arch->effect(code + at, length, address + at, &effect) || !same_effect(&effect, &plain_effect);
	}
	return differences;
}

#define BYTES_MAX (1u << 20)	/* of each image */

struct sum {
	uint64_t base;
	size_t bytes, differences;
};

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
	struct sum *sum = data;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + header->p_vaddr;
		size_t length = header->p_filesz < BYTES_MAX ? header->p_filesz : BYTES_MAX;

		if (header->p_type != PT_LOAD || !(header->p_flags & PF_X) || !(header->p_flags & PF_R))
			continue;
		sum->bytes += length;
		sum->differences += count_differences((const uint8_t *)start, length, sum->base + header->p_vaddr);
	}
	return 0;
}

/* The code of this process. Twice, at different addresses: the second time most of it is remembered. */
static void remembers_what_the_decoder_said(void **state)
{
	struct sum sum = { 0 };

	dl_iterate_phdr(visit, &sum);
	sum.base = UINT64_C(0x700000000000);
	dl_iterate_phdr(visit, &sum);
	assert_true(sum.bytes > 1000000);
	assert_int_equal(sum.differences, 0);
}

/* The same opcode bytes with other operands, prefixes and references, one after the other and again. */
static void tells_alike_instructions_apart(void **state)
{
	static const uint8_t code[][16] = {
		{ 0x48, 0x8d, 0x05, 1, 2, 3, 4 }, { 0x48, 0x8d, 0x05, 5, 6, 7, 8 },	/* lea x(%rip) */
		{ 0x67, 0x48, 0x8d, 0x05, 1, 2, 3, 4 }, { 0x67, 0x48, 0x8d, 0x05, 5, 6, 7, 8 },	/* lea x(%eip) */
		{ 0xe8, 1, 2, 3, 4 }, { 0xe8, 0xff, 0xff, 0xff, 0xff }, { 0x66, 0xe8, 1, 2, 3, 4 },
		{ 0x74, 0x10 }, { 0x74, 0xf0 }, { 0x0f, 0x84, 1, 2, 3, 4 }, { 0x0f, 0x84, 4, 3, 2, 0xff },
		{ 0xc7, 0x05, 1, 2, 3, 4, 9, 0, 0, 0 }, { 0xc7, 0x05, 1, 2, 3, 4, 8, 0, 0, 0 }, { 0xc7, 0x05, 7, 2, 3, 4, 8, 0, 0, 0 },
		{ 0xff, 0x15, 1, 2, 3, 4 }, { 0xff, 0x25, 1, 2, 3, 4 }, { 0xff, 0x25, 9, 2, 3, 4 },
		{ 0x48, 0x83, 0xe4, 0xf0 }, { 0x48, 0x83, 0xe4, 0xe0 }, { 0x48, 0x83, 0xec, 0x08 }, { 0x48, 0x83, 0xc4, 0x08 },
		{ 0x48, 0x8b, 0x44, 0x24, 0x08 }, { 0x48, 0x8b, 0x44, 0x24, 0x10 }, { 0x8b, 0x44, 0x24, 0x08 },
		/* One displacement or another, in what it is a place, a sum, and nothing; and none with an index, where zero is another thing. */
		{ 0x48, 0x89, 0x5c, 0x24, 0x08 }, { 0x48, 0x89, 0x5c, 0x24, 0xf8 }, { 0x48, 0x8d, 0x64, 0x24, 0x08 }, { 0x48, 0x8d, 0x64, 0x24, 0x80 },
		{ 0x83, 0x7d, 0x08, 8 }, { 0x83, 0x7d, 0x10, 8 }, { 0x48, 0x8b, 0x83, 1, 2, 3, 4 }, { 0x48, 0x8b, 0x83, 4, 3, 2, 0xff },
		{ 0xc7, 0x83, 1, 2, 3, 4, 5, 6, 7, 8 }, { 0xc7, 0x83, 8, 2, 3, 4, 5, 6, 7, 8 }, { 0xc7, 0x83, 8, 2, 3, 4, 5, 6, 7, 9 },
		{ 0x48, 0x8d, 0x44, 0x08, 0x00 }, { 0x48, 0x8d, 0x44, 0x08, 0x10 }, { 0xff, 0x63, 0x08 }, { 0xff, 0x63, 0x10 },
		/* With a SIB, and with one whose base is a displacement. */
		{ 0x48, 0x8b, 0x04, 0x24 }, { 0x48, 0x8b, 0x04, 0x25, 1, 2, 3, 4 }, { 0x48, 0x8b, 0x04, 0x24 }, { 0x49, 0x8b, 0x04, 0x25, 1, 2, 3, 4 },
		/* Exchanges, of which one is a nop. */
		{ 0x41, 0x87, 0xff }, { 0x48, 0x87, 0xff }, { 0x41, 0x86, 0xff }, { 0x40, 0x86, 0xff },
		{ 0x55 }, { 0x41, 0x55 }, { 0x66, 0x55 }, { 0xff, 0xd0 }, { 0xff, 0xe0 }, { 0xff, 0xc0 }, { 0xf6, 0xc1, 1 }, { 0xf6, 0xd1 },
	};

	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
			uint8_t padded[64] = { 0 };

			/* At a place where it is not cut short. */
			memcpy(padded + 1, code[i], sizeof(code[i]));
			assert_int_equal(count_differences(padded, sizeof(padded), 0x1000 * (uint64_t)round), 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remembers_what_the_decoder_said),
		cmocka_unit_test(tells_alike_instructions_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
