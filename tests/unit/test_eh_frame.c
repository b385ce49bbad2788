/*
 * .eh_frame is read and compared with two lists that the linker made: the search table in
 * .eh_frame_hdr (where every FDE is and what its code starts at) and the sizes of the functions in
 * .symtab (where it ends). Then it is damaged in every way that comes to mind.
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

/* A section put together by hand; of one CIE and one FDE where nothing else is said. */
struct bytes {
	uint8_t data[256];
	size_t size;
};

static void add(struct bytes *bytes, const void *data, size_t size)
{
	memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
}

static void add_word(struct bytes *bytes, uint32_t word)
{
	add(bytes, &word, sizeof(word));
}

/* Write a length field, once the record behind it is complete. */
static void close_record(struct bytes *bytes, size_t start)
{
	store32(bytes->data + start, (uint32_t)(bytes->size - start - 4));
}

/* `augmentation` with its NUL, `data` the augmentation data without its length. */
static void add_cie(struct bytes *bytes, uint8_t version, const char *augmentation, const char *data, size_t data_size)
{
	size_t start = bytes->size;
	uint8_t size = (uint8_t)data_size;

	add_word(bytes, 0);
	add_word(bytes, 0);
	add(bytes, &version, 1);
	add(bytes, augmentation, strlen(augmentation) + 1);
	add(bytes, "\x01\x78\x10", 3);
	if (augmentation[0] == 'z') {
		add(bytes, &size, 1);
		add(bytes, data, data_size);
	}
	add(bytes, "\x0c\x07\x08\x90\x01", 5);
	close_record(bytes, start);
}

static void add_fde(struct bytes *bytes, size_t cie, const char *body, size_t size)
{
	size_t start = bytes->size;

	add_word(bytes, 0);
	add_word(bytes, (uint32_t)(bytes->size - cie));
	add(bytes, body, size);
	close_record(bytes, start);
}

#define ADDRESS 0x10000

/* Read what must be the only FDE; false when there is none. */
static bool read_one(const struct bytes *bytes, struct eh_fde *fde, const char **why)
{
	struct eh_frame section = { bytes->data, bytes->size, ADDRESS };
	struct eh_fde other;
	size_t offset = 0;
	const char *end;
	bool found = eh_frame_next(&section, &offset, fde, why);

	if (found) {
		assert_false(eh_frame_next(&section, &offset, &other, &end));
		assert_null(end);
	}
	return found;
}

static void test_encodings(void **state)
{
	static const struct {
		const char *encoding, *body;
		size_t body_size;
		uint64_t start, end;
		bool relative;
	} cases[] = {
		{ "\x1b", "\xfc\xff\xff\xff\x20\0\0\0\0", 9, (uint64_t)-4, 0x1c, true },
		{ "\x03", "\xfc\xff\xff\xff\x20\0\0\0\0", 9, 0xfffffffc, 0x10000001c, false },
		{ "\x0b", "\x40\0\0\0\x20\0\0\0\0", 9, 0x40, 0x60, false },
		{ "\x00", "\1\2\3\4\5\6\7\0\x20\0\0\0\0\0\0\0\0", 17, 0x7060504030201, 0x7060504030221, false },
		{ "\x1c", "\x10\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\0", 17, 0x10, 0x30, true },
		{ "\x02", "\xfc\xff\x20\0\0", 5, 0xfffc, 0x1001c, false },
		{ "\x1a", "\xfc\xff\x20\0\0", 5, (uint64_t)-4, 0x1c, true },
		{ "\x01", "\x80\x01\x20\0", 4, 0x80, 0xa0, false },
		{ "\x19", "\x7c\x20\0", 3, (uint64_t)-4, 0x1c, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bytes bytes = { 0 };
		struct eh_fde fde;
		const char *why;
		uint64_t base;

		add_cie(&bytes, 1, "zR", cases[i].encoding, 1);
		base = cases[i].relative ? ADDRESS + bytes.size + 8 : 0;
		add_fde(&bytes, 0, cases[i].body, cases[i].body_size);
		assert_true(read_one(&bytes, &fde, &why));
		assert_int_equal(fde.code.start, base + cases[i].start);
		assert_int_equal(fde.code.end, base + cases[i].end);
		assert_non_null(fde.program);
		assert_int_equal(fde.program_size, 0);
		assert_int_equal(fde.cie.data_align, -8);
		assert_int_equal(fde.cie.return_register, 16);
		assert_int_equal(fde.cie.program_size, 5);
		assert_memory_equal(fde.cie.program, "\x0c\x07\x08\x90\x01", 5);
	}
}

static void test_augmentations(void **state)
{
	struct eh_fde fde;
	const char *why;
	struct bytes bytes = { 0 };

	(void)state;
	/* personality pcrel|indirect|sdata4, LSDA pcrel|sdata4, addresses pcrel|sdata4 */
	add_cie(&bytes, 1, "zPLR", "\x9b\1\2\3\4\x1b\x1b", 7);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\x04\x40\0\0\0\x41", 14);
	assert_true(read_one(&bytes, &fde, &why));
	assert_true(fde.cie.has_personality && fde.cie.has_augmentation_data && !fde.cie.signal_frame);
	assert_int_equal(fde.lsda, ADDRESS + (size_t)(fde.program - bytes.data) - 4 + 0x40);
	assert_int_equal(fde.program_size, 1);
	assert_int_equal(fde.program[0], 0x41);

	/* A stored 0 is no LSDA, also where it is relative. */
	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 1, "zPLR", "\x9b\1\2\3\4\x1b\x1b", 7);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\x04\0\0\0\0\x41", 14);
	assert_true(read_one(&bytes, &fde, &why));
	assert_int_equal(fde.lsda, 0);

	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 3, "zRS", "\x1b", 1);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\0", 9);
	assert_true(read_one(&bytes, &fde, &why));
	assert_true(fde.cie.signal_frame && !fde.cie.has_personality);

	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 1, "", "", 0);
	add_fde(&bytes, 0, "\0\1\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\x41", 17);
	assert_true(read_one(&bytes, &fde, &why));
	assert_int_equal(fde.code.start, 0x100);
	assert_int_equal(fde.code.end, 0x120);
	assert_false(fde.cie.has_augmentation_data);
	assert_int_equal(fde.program_size, 1);
}

/* What is not known is never guessed at, but does not hide what comes behind it. */
static void test_unknown_kinds(void **state)
{
	struct eh_fde fde;
	const char *why;
	struct bytes bytes = { 0 };

	(void)state;
	/* The letter comes behind 'R': the range is known, the rest is not. */
	add_cie(&bytes, 1, "zRB", "\x1b", 1);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\0", 9);
	assert_true(read_one(&bytes, &fde, &why));
	assert_int_equal(fde.code.end - fde.code.start, 0x20);
	assert_null(fde.program);
	assert_null(fde.cie.program);

	/* Letter before 'R'; no 'z'; version; data-relative; indirect; "none". */
	for (unsigned int i = 0; i < 6; i++) {
		static const char *const augmentation[] = { "zBR", "eh", "zR", "zR", "zR", "zR" };
		static const char *const encoding[] = { "\x1b", "", "\x1b", "\x3b", "\x9b", "\xff" };
		size_t known;

		bytes = (struct bytes){ 0 };
		add_cie(&bytes, i == 2 ? 4 : 1, augmentation[i], encoding[i], strlen(encoding[i]));
		add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\0", 9);
		assert_false(read_one(&bytes, &fde, &why));
		assert_null(why);
		/* Another one behind it is found. */
		known = bytes.size;
		add_cie(&bytes, 1, "zR", "\x1b", 1);
		add_fde(&bytes, known, "\0\1\0\0\x20\0\0\0\0", 9);
		assert_true(read_one(&bytes, &fde, &why));
	}

	/* An LSDA that can't be read. */
	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 1, "zLR", "\x3b\x1b", 2);
	add_fde(&bytes, 0, "\0\1\0\0\x20\0\0\0\x04\0\0\0\0\x41", 14);
	assert_true(read_one(&bytes, &fde, &why));
	assert_null(fde.program);
}

static void test_damage(void **state)
{
	static const struct {
		const char *body;
		size_t body_size;
		const char *why;
	} cases[] = {
		{ "\0\1\0\0\x20\0\0", 7, "the address range of an FDE is cut off" },
		{ "\0\1\0\0\xff\xff\xff\xff\0", 9, "the address range of an FDE wraps around" },
		{ "\0\1\0\0\x20\0\0\0", 8, "the augmentation data of an FDE is cut off" },
		{ "\0\1\0\0\x20\0\0\0\x02\0", 10, "the augmentation data of an FDE is cut off" },
		{ "\0\1\0\0\x20\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 18,
		  "the augmentation data of an FDE is cut off" },
	};
	struct eh_fde fde;
	struct bytes bytes;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bytes = (struct bytes){ 0 };
		add_cie(&bytes, 1, "zR", "\x1b", 1);
		add_fde(&bytes, 0, cases[i].body, cases[i].body_size);
		assert_false(read_one(&bytes, &fde, &why));
		assert_string_equal(why, cases[i].why);
	}

	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 1, "zR", "\x1b", 1);
	add_fde(&bytes, (size_t)-1, "\0\1\0\0\x20\0\0\0\0", 9);
	assert_false(read_one(&bytes, &fde, &why));
	assert_string_equal(why, "a CIE pointer leads out of the section");

	bytes = (struct bytes){ 0 };
	add_cie(&bytes, 1, "zR", "\x1b", 1);
	add_fde(&bytes, bytes.size, "\0\1\0\0\x20\0\0\0\0", 9);
	assert_false(read_one(&bytes, &fde, &why));
	assert_string_equal(why, "a CIE pointer leads to a record that is no CIE");
}

/* 64-bit records are passed over whole, and their length is checked like any other. */
static void test_extended_length(void **state)
{
	struct bytes bytes = { 0 };
	size_t start, cie;
	struct eh_fde fde;
	const char *why;

	(void)state;
	start = bytes.size;
	add(&bytes, "\xff\xff\xff\xff\x10\0\0\0\0\0\0\0", 12);
	add(&bytes, "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20", 16);
	cie = bytes.size;
	add_cie(&bytes, 1, "zR", "\x1b", 1);
	add_fde(&bytes, cie, "\0\1\0\0\x20\0\0\0\0", 9);
	assert_true(read_one(&bytes, &fde, &why));

	store64(bytes.data + start + 4, UINT64_MAX - 3);
	assert_false(read_one(&bytes, &fde, &why));
	assert_string_equal(why, "a record is longer than the section");
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
		cmocka_unit_test(test_encodings),
		cmocka_unit_test(test_augmentations),
		cmocka_unit_test(test_unknown_kinds),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_extended_length),
		cmocka_unit_test(test_truncation_at_every_length),
		cmocka_unit_test(test_random_damage),
	};

	return cmocka_run_group_tests_name("eh_frame", tests, NULL, NULL);
}
