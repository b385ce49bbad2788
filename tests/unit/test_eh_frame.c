/*
 * .eh_frame is read and compared with two lists that the linker made: the search table in
 * .eh_frame_hdr (where every FDE is and what its code starts at) and the sizes of the functions in
 * .symtab (where it ends). Then it is cut and damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <gelf.h>
#include <gnu/libc-version.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "image/eh_frame.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define ADDRESS 0x10000

struct file {
	int descriptor;
	Elf *elf;
};

static struct file open_file(const char *path)
{
	struct file file = { .descriptor = open(path, O_RDONLY | O_CLOEXEC) };

	assert_int_not_equal(file.descriptor, -1);
	elf_version(EV_CURRENT);
	file.elf = elf_begin(file.descriptor, ELF_C_READ, NULL);
	assert_non_null(file.elf);
	return file;
}

static void close_file(struct file *file)
{
	elf_end(file->elf);
	close(file->descriptor);
}

static struct eh_frame find_section(const struct file *file, const char *name)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	size_t names;

	assert_int_equal(elf_getshdrstrndx(file->elf, &names), 0);
	while ((section = elf_nextscn(file->elf, section))) {
		Elf_Data *data;

		assert_non_null(gelf_getshdr(section, &header));
		if (strcmp(elf_strptr(file->elf, names, header.sh_name), name) != 0)
			continue;
		data = elf_rawdata(section, NULL);
		assert_non_null(data);
		return (struct eh_frame){ data->d_buf, data->d_size, header.sh_addr };
	}
	fail_msg("no section %s", name);
	return (struct eh_frame){ 0 };
}

static int compare_starts(const void *left, const void *right)
{
	uint64_t a = ((const struct eh_fde *)left)->code.start, b = ((const struct eh_fde *)right)->code.start;

	return (a > b) - (a < b);
}

struct fde_list {
	struct eh_fde *item;
	size_t count, room;
};

static struct fde_list read_all(const struct eh_frame *section)
{
	struct fde_list list = { 0 };
	const char *why;
	struct eh_fde fde;
	size_t offset = 0;

	while (eh_frame_next(section, &offset, &fde, &why))
		*array_add(&list) = fde;
	assert_null(why);
	qsort(list.item, list.count, sizeof(*list.item), compare_starts);
	return list;
}

/* LSB Core 5.0, 10.6.2: version 1, three encodings, then pointer, count, and pairs in order. */
static void compare_with_search_table(const char *path)
{
	struct file file = open_file(path);
	struct eh_frame frames = find_section(&file, ".eh_frame"), header = find_section(&file, ".eh_frame_hdr");
	struct fde_list list = read_all(&frames);

	assert_memory_equal(header.data, "\x01\x1b\x03\x3b", 4);
	assert_int_equal(load32(header.data + 8), list.count);
	assert_true(list.count > 10);
	for (size_t i = 0; i < list.count; i++) {
		const uint8_t *pair = header.data + 12 + 8 * i;
		uint64_t start = header.address + (uint64_t)(int64_t)(int32_t)load32(pair);
		uint64_t record = header.address + (uint64_t)(int64_t)(int32_t)load32(pair + 4);
		struct eh_fde again;

		assert_int_equal(list.item[i].code.start, start);
		assert_int_equal(frames.address + list.item[i].offset, record);
		assert_non_null(list.item[i].program);
		assert_true(eh_frame_at(&frames, list.item[i].offset, &again));
		assert_int_equal(again.code.start, start);
		assert_int_equal(again.code.end, list.item[i].code.end);
	}
	array_free(&list);
	close_file(&file);
}

static void test_all_fdes_of_this_program(void **state)
{
	(void)state;
	compare_with_search_table("/proc/self/exe");
}

static void test_all_fdes_of_libc(void **state)
{
	Dl_info info;

	(void)state;
	assert_int_not_equal(dladdr((void *)(uintptr_t)&gnu_get_libc_version, &info), 0);
	compare_with_search_table(info.dli_fname);
}

static void test_ends_are_those_of_the_symbols(void **state)
{
	struct file file = open_file("/proc/self/exe");
	struct eh_frame frames = find_section(&file, ".eh_frame"), symbols = find_section(&file, ".symtab");
	struct fde_list list = read_all(&frames);
	size_t compared = 0;

	(void)state;
	for (size_t i = 0; i < symbols.size / sizeof(Elf64_Sym); i++) {
		Elf64_Sym symbol;
		struct eh_fde *fde, key;

		memcpy(&symbol, symbols.data + i * sizeof(symbol), sizeof(symbol));
		if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_size == 0 || symbol.st_shndx == SHN_UNDEF)
			continue;
		key.code.start = symbol.st_value;
		fde = bsearch(&key, list.item, list.count, sizeof(key), compare_starts);
		if (!fde)
			continue;
		assert_int_equal(fde->code.end - fde->code.start, symbol.st_size);
		compared++;
	}
	assert_true(compared > 10);
	array_free(&list);
	close_file(&file);
}

/* All that may be said of any bytes: the reader ends, and what it gives lies inside of them. The copy
 * is exactly as long as the section, so that AddressSanitizer sees the first byte read too far. */
static size_t read_hostile(const uint8_t *from, size_t size)
{
	uint8_t *copy = memory_copy(from, size);
	struct eh_frame section = { copy, size, ADDRESS };
	size_t offset = 0, before = 0, count = 0;
	struct eh_fde fde;
	const char *why;

	while (eh_frame_next(&section, &offset, &fde, &why)) {
		assert_true(offset > before && offset <= size);
		assert_true(fde.offset >= before && fde.offset < offset);
		assert_true(fde.code.start <= fde.code.end);
		assert_true(!fde.program == !fde.cie.program);
		if (fde.program) {
			assert_true(fde.program >= copy && fde.program_size <= size - (size_t)(fde.program - copy));
			assert_true(fde.cie.program >= copy &&
				    fde.cie.program_size <= size - (size_t)(fde.cie.program - copy));
		}
		before = offset;
		count++;
	}
	free(copy);
	return count;
}

static void test_truncation_at_every_length(void **state)
{
	struct file file = open_file("/proc/self/exe");
	struct eh_frame section = find_section(&file, ".eh_frame");
	size_t size = section.size < 3000 ? section.size : 3000, before = 0;

	(void)state;
	for (size_t length = 0; length <= size; length++) {
		size_t count = read_hostile(section.data, length);

		assert_true(count == before || count == before + 1);
		before = count;
	}
	assert_true(before > 10);
	close_file(&file);
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

/* xorshift64: the same numbers in every run */
static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void test_random_damage(void **state)
{
	struct file file = open_file("/proc/self/exe");
	struct eh_frame section = find_section(&file, ".eh_frame");
	size_t size = section.size < 2000 ? section.size : 2000, whole = read_hostile(section.data, size), fewer = 0;
	uint8_t *bytes = memory_zeroed(1, size);

	(void)state;
	for (unsigned int round = 0; round < 20000; round++) {
		unsigned int changes = 1 + (unsigned int)(random_next() % 4);
		struct eh_frame damaged = { bytes, size, random_next() };
		struct eh_fde fde;

		memcpy(bytes, section.data, size);
		while (changes--) {
			static const uint8_t likely[] = { 0, 1, 0x7f, 0x80, 0xff, 'z', 'R', 'S' };
			uint64_t random = random_next();

			bytes[random % size] = random & 1ull << 40 ? likely[random >> 50 & 7] : (uint8_t)(random >> 32);
		}
		fewer += read_hostile(bytes, size) < whole;
		if (eh_frame_at(&damaged, random_next() % (size + 8), &fde))
			assert_true(fde.code.start <= fde.code.end);
	}
	assert_true(fewer > 1000);
	free(bytes);
	close_file(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_fdes_of_this_program),
		cmocka_unit_test(test_all_fdes_of_libc),
		cmocka_unit_test(test_ends_are_those_of_the_symbols),
		cmocka_unit_test(test_truncation_at_every_length),
		cmocka_unit_test(test_random_damage),
	};

	return cmocka_run_group_tests_name("eh_frame", tests, NULL, NULL);
}
