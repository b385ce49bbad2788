/* The quick decoder says of every instruction what Zydis says, or leaves it to Zydis. */
#include <link.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#undef fail	/* base/error.h has one too */
#include <string.h>

#include "arch/x86_64/plain.h"
#include "image/image.h"

struct sums {
	size_t compared, plain, wrong;
};

static void print_wrong(const uint8_t *code, size_t size, const char *what)
{
	char text[96] = "?";

	(void)x86_64_print(code, size, 0, text, sizeof(text));
	print_error("%s:", what);
	for (size_t i = 0; i < size && i < X86_64_INSN_MAX; i++)
		print_error(" %02x", code[i]);
	print_error(": %s\n", text);
}

static bool same_refs(const struct insn *one, const struct insn *other)
{
	for (int i = 0; i < 2; i++)
		if (one->ref[i].kind != other->ref[i].kind ||
		    (one->ref[i].kind && (one->ref[i].offset != other->ref[i].offset || one->ref[i].size != other->ref[i].size ||
					  one->ref[i].access != other->ref[i].access || one->ref[i].target != other->ref[i].target)))
			return false;
	return true;
}

static bool same_insn(const struct insn *one, const struct insn *other)
{
	return one->length == other->length && one->kind == other->kind && one->on_stack == other->on_stack &&
	       one->thread_local_access == other->thread_local_access && same_refs(one, other) &&
	       one->displacement.offset == other->displacement.offset && one->displacement.size == other->displacement.size &&
	       one->immediate.offset == other->immediate.offset && one->immediate.size == other->immediate.size &&
	       one->clobbers == other->clobbers;
}

static bool same_effect(const struct insn_effect *one, const struct insn_effect *other)
{
	return one->length == other->length && one->insn == other->insn && one->kind == other->kind && one->faults == other->faults &&
	       one->target == other->target && one->source == other->source && one->index == other->index && one->size == other->size &&
	       one->offset == other->offset && one->writes == other->writes && one->address == other->address;
}

/* Returns the length that Zydis gives, or 1. */
static size_t compare(const uint8_t *code, size_t size, uint64_t address, struct sums *sums)
{
	struct insn_effect effect, any_effect;
	struct insn insn, any_insn;
	struct plain plain;
	bool known;

	sums->compared++;
	known = x86_64_decode_any(code, size, address, &any_insn);
	if (x86_64_plain(code, size, &plain)) {
		sums->plain++;
		x86_64_plain_insn(&plain, address, &insn);
		x86_64_plain_effect(&plain, address, &effect);
		if (!known || !same_insn(&insn, &any_insn)) {
			if (sums->wrong++ < 20)
				print_wrong(code, size, "insn");
		} else if (!x86_64_effect_any(code, size, address, &any_effect) || !same_effect(&effect, &any_effect)) {
			if (sums->wrong++ < 20)
				print_wrong(code, size, "effect");
		}
	}
	return known ? any_insn.length : 1;
}

static int compare_library(struct dl_phdr_info *info, size_t unused, void *context)
{
	struct error error = { 0 };
	struct image image;

	(void)unused;
	if (image_open(*info->dlpi_name ? info->dlpi_name : "/proc/self/exe", &image, &error)) {
		error_clear(&error);
		image_close(&image);
		return 0;
	}
	for (size_t i = 0; i < image.sections.count; i++) {
		const struct section *section = &image.sections.item[i];
		size_t size = section->span.end - section->span.start;

		if (section->execute && section->data)
			for (size_t at = 0; at < size;)
				at += compare(section->data + at, size - at, section->span.start + at, context);
	}
	image_close(&image);
	return 0;
}

static void agrees_with_zydis_on_libraries(void **state)
{
	struct sums sums = { 0 };

	(void)state;
	dl_iterate_phdr(compare_library, &sums);
	assert_int_equal(sums.wrong, 0);
	assert_true(sums.compared > 200000);
	/* Else it would be of no use. */
	assert_true(sums.plain > sums.compared * 7 / 10);
}

/* Every opcode with every ModRM byte, with and without REX, cut off everywhere; what follows is noise. */
static void agrees_with_zydis_on_every_opcode(void **state)
{
	static const uint8_t rex[] = { 0, 0x40, 0x41, 0x42, 0x44, 0x48, 0x49, 0x4c, 0x4f };
	struct sums sums = { 0 };
	uint64_t noise = 1;

	(void)state;
	for (unsigned int opcode = 0; opcode < 512; opcode++)
		for (size_t r = 0; r < sizeof(rex); r++)
			for (unsigned int modrm = 0; modrm < 256; modrm++) {
				uint8_t code[24];
				size_t size = 0;

				for (size_t i = 0; i < sizeof(code); i++) {
					noise = noise * UINT64_C(6364136223846793005) + 1442695040888963407u;
					code[i] = (uint8_t)(noise >> 56);
				}
				if (rex[r])
					code[size++] = rex[r];
				if (opcode >= 256)
					code[size++] = 0x0f;
				code[size++] = (uint8_t)opcode;
				code[size] = (uint8_t)modrm;
				compare(code, sizeof(code), 0x401000, &sums);
				compare(code, (noise >> 32) % 12, 0x401000, &sums);
			}
	assert_int_equal(sums.wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_zydis_on_libraries),
		cmocka_unit_test(agrees_with_zydis_on_every_opcode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
