/*
 * test_package.c: the programs and libraries of packages are found, whatever packs them, and hostile packages are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/package.h"
#include "package_example.h"

#include <cmocka.h>	/* last: it has a fail() of its own */

#include "files.h"

static char folder[] = "/tmp/stent-test-package-XXXXXX";

static void printf_like(1, 2) run(const char *format, ...)
{
	va_list arguments;
	char *command, *whole;

	va_start(arguments, format);
	command = text_format_list(format, arguments);
	va_end(arguments);
	whole = text_format("cd %s && %s", folder, command);
	if (system(whole))
		fail_msg("failed: %s", whole);
	free(command);
	free(whole);
}

static void write_bytes(const char *name, const void *bytes, size_t size)
{
	char *path = text_format("%s/%s", folder, name);

	file_write(path, bytes, size);
	free(path);
}

static int make_folder(void **state)
{
	(void)state;
	alarm(120);
#ifndef __SANITIZE_ADDRESS__
	setrlimit(RLIMIT_AS, &(const struct rlimit){ UINT64_C(6) << 30, UINT64_C(6) << 30 });	/* nothing that is claimed is allocated */
#endif
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	run("rm -rf %s", folder);
	return 0;
}

static const struct package_file *find(const struct packages *packages, const char *path)
{
	for (size_t i = 0; i < packages->files.count; i++)
		if (!strcmp(packages->files.item[i].path, path))
			return &packages->files.item[i];
	return NULL;
}

static void assert_holds(const struct packages *packages, const char *path, const char *mark)
{
	const struct example_elf elf = example_elf(mark);
	const struct package_file *file = find(packages, path);

	if (!file)
		fail_msg("%s is not there", path);
	assert_int_equal(file->size, sizeof(elf));
	assert_memory_equal(file->bytes, &elf, sizeof(elf));
}

/* Takes the .deb. */
static enum status add(struct buffer deb, struct packages *packages, struct error *error)
{
	enum status status = packages_add_bytes("it.deb", deb.item, deb.count, packages, error);

	array_free(&deb);
	return status;
}

static void assert_refused(struct buffer deb, const char *reason)
{
	struct packages packages = { 0 };
	struct error error = { 0 };

	assert_int_equal(add(deb, &packages, &error), STATUS_ERROR);
	if (!strstr(error.text, reason))
		fail_msg("'%s' is not in '%s'", reason, error.text);
	error_clear(&error);
	packages_free(&packages);
}

static void test_contents(void **state)
{
	struct packages packages = { 0 };
	struct error error = { 0 };
	struct buffer data = { 0 };
	struct example_elf relocatable = example_elf("module");

	(void)state;
	relocatable.header.e_type = ET_REL;
	example_tar_entry(&data, "./usr/", DIRTYPE, "", NULL, 0, 0);
	example_tar_elf(&data, "./usr/lib/liba.so.1.2", "a");
	example_tar_elf(&data, "/usr/bin//b", "b");
	example_tar_elf(&data, "./usr/lib/debug/.build-id/00/11.debug", "debug");
	example_tar_file(&data, "./usr/share/doc/x", "text", 4);
	example_tar_file(&data, "./usr/share/doc/short", ELFMAG, SELFMAG);
	example_tar_file(&data, "./lib/modules/m.ko", &relocatable, sizeof(relocatable));
	example_tar_file(&data, "./usr/share/empty", "", 0);
	example_tar_entry(&data, "./usr/lib/liba.so.1", SYMTYPE, "liba.so.1.2", NULL, 0, 0);
	example_tar_entry(&data, "./usr/lib/libhard.so", LNKTYPE, "./usr/lib/liba.so.1.2", NULL, 0, 0);
	example_tar_entry(&data, "./dev/null", CHRTYPE, "", NULL, 0, 0);
	assert_int_equal(add(example_deb(EXAMPLE_CONTROL, &data), &packages, &error), STATUS_OK);
	assert_null(error.text);
	assert_int_equal(packages.files.count, 2);
	assert_holds(&packages, "usr/lib/liba.so.1.2", "a");
	assert_holds(&packages, "usr/bin/b", "b");
	assert_string_equal(packages.files.item[0].version, "1:1.0-2");
	assert_string_equal(packages.files.item[0].source, "example");
	packages_free(&packages);
}

/* Without a source of another name, the package has the name of its source. */
static void test_source(void **state)
{
	struct packages packages = { 0 };
	struct buffer data = { 0 };

	(void)state;
	example_tar_elf(&data, "a", "a");
	assert_int_equal(add(example_deb("Package: single\nVersion: 7\n", &data), &packages, NULL), STATUS_OK);
	assert_string_equal(packages.files.item[0].source, "single");
	packages_free(&packages);
}

static void test_compressions(void **state)
{
	static const char *const kinds[] = { "gzip", "xz", "zstd", "none" };
	const struct example_elf elf = example_elf("packed");

	(void)state;
	run("mkdir -p tree/DEBIAN tree/usr/bin");
	write_bytes("tree/usr/bin/p", &elf, sizeof(elf));
	write_bytes("tree/DEBIAN/control", "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n", 69);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char *path = text_format("%s/%s.deb", folder, kinds[i]);
		struct packages packages;
		struct error error = { 0 };

		run("dpkg-deb -Z%s --build tree %s.deb >/dev/null", kinds[i], kinds[i]);
		assert_true(packages_expected(path));
		if (packages_read(path, &packages, &error))
			fail_msg("%s", error.text);
		assert_int_equal(packages.files.count, 1);
		assert_holds(&packages, "usr/bin/p", "packed");
		packages_free(&packages);
		run("rm %s.deb", kinds[i]);
		free(path);
	}
	run("rm -r tree");
}

static void write_deb(const char *name, const char *path, const char *mark)
{
	struct buffer data = { 0 }, deb;

	example_tar_elf(&data, path, mark);
	deb = example_deb(EXAMPLE_CONTROL, &data);
	write_bytes(name, deb.item, deb.count);
	array_free(&deb);
}

/* A folder of packages, and one that says the same file twice. */
static void test_folder_of_packages(void **state)
{
	struct packages packages;
	struct error error = { 0 };

	(void)state;
	write_deb("one.deb", "./usr/bin/one", "1");
	write_deb("two.deb", "./usr/bin/two", "2");
	write_bytes("other", "x", 1);
	assert_true(packages_expected(folder));
	assert_int_equal(packages_read(folder, &packages, &error), STATUS_OK);
	assert_int_equal(packages.files.count, 2);
	assert_holds(&packages, "usr/bin/one", "1");
	assert_holds(&packages, "usr/bin/two", "2");
	packages_free(&packages);

	write_deb("three.deb", "usr//bin/one", "3");
	assert_int_equal(packages_read(folder, &packages, &error), STATUS_ERROR);
	assert_non_null(strstr(error.text, "holds usr/bin/one twice"));
	error_clear(&error);
	packages_free(&packages);
	run("rm *.deb other");
}

/* A folder as a root; what is no file of its own in it is passed by, and nothing is waited for. */
static void test_unpacked(void **state)
{
	const struct example_elf elf = example_elf("unpacked");
	struct packages packages;
	struct error error = { 0 };

	(void)state;
	run("mkdir -p usr/lib usr/bin && mkfifo usr/bin/pipe && ln -s /usr/lib usr/lib/all && ln -s /bin/true usr/bin/true");
	write_bytes("usr/lib/libu.so.1", &elf, sizeof(elf));
	write_bytes("usr/bin/script", "#!/bin/sh\n", 10);
	assert_int_equal(packages_read(folder, &packages, &error), STATUS_OK);
	assert_int_equal(packages.files.count, 1);
	assert_holds(&packages, "usr/lib/libu.so.1", "unpacked");
	assert_string_equal(packages.files.item[0].version, "");
	packages_free(&packages);
	run("rm -r usr");
	assert_int_equal(packages_read(folder, &packages, &error), STATUS_ERROR);
	assert_non_null(strstr(error.text, "holds no program"));
	error_clear(&error);
	packages_free(&packages);
}

static void test_not_expected(void **state)
{
	char *path = text_format("%s/archive.a", folder);
	struct buffer archive = { 0 };

	(void)state;
	example_ar_member(&archive, "a.o/", "x", 1);
	write_bytes("archive.a", archive.item, archive.count);
	assert_false(packages_expected(path));
	assert_false(packages_expected("/bin/true"));
	assert_false(packages_expected("/nowhere"));
	run("rm archive.a && mkfifo archive.a");
	assert_false(packages_expected(path));
	run("rm archive.a");
	array_free(&archive);
	free(path);
}

static struct buffer some_deb(const char *control)
{
	struct buffer data = { 0 };

	example_tar_elf(&data, "./usr/bin/a", "a");
	return example_deb(control, &data);
}

static void test_bad_control(void **state)
{
	struct buffer early = { 0 }, deb = { 0 };

	(void)state;
	assert_refused(some_deb(NULL), "are not both there");
	assert_refused(some_deb("Package: a\n"), "no name or no version");
	assert_refused(some_deb("Package: a\nVersion:\n"), "no name or no version");
	assert_refused(some_deb("Version: 1\n"), "no name or no version");
	assert_refused(some_deb("Package: a\nVersion: 1\033[2J\n"), "no name or no version");
	assert_refused(some_deb("Package: ../a\nVersion: 1\n"), "no name or no version");
	/* The data before the control file. */
	example_tar_elf(&early, "a", "a");
	example_ar_member(&deb, "debian-binary", "2.0\n", 4);
	example_tar_member(&deb, "data.tar", &early);
	assert_refused(deb, "are not both there");
	deb = (struct buffer){ 0 };
	example_ar_member(&deb, "debian-binary", "3.0\n", 4);
	assert_refused(deb, "not a Debian package of format 2");
	deb = (struct buffer){ 0 };
	example_ar_member(&deb, "control.tar", "2.0\n", 4);
	assert_refused(deb, "not a Debian package of format 2");
}

/* Names lead nowhere: they are names. */
static void test_names(void **state)
{
	struct packages packages = { 0 };
	struct error error = { 0 };
	struct buffer data = { 0 };
	struct stat about;

	(void)state;
	example_tar_elf(&data, "../../../../../../../../tmp/stent-test-escaped", "up");
	example_tar_elf(&data, "/tmp/stent-test-escaped", "absolute");
	assert_int_equal(add(example_deb(EXAMPLE_CONTROL, &data), &packages, &error), STATUS_OK);
	assert_int_equal(packages.files.count, 2);
	assert_int_equal(stat("/tmp/stent-test-escaped", &about), -1);
	packages_free(&packages);
}

/* An entry that claims more than there is, and one that is more than is taken. */
static void test_claims(void **state)
{
	struct example_elf elf = example_elf("big");
	struct packages packages = { .total = PACKAGES_TOTAL_MAX - 100 };
	struct error error = { 0 };
	struct buffer data = { 0 };

	(void)state;
	example_tar_entry(&data, "big", REGTYPE, "", &elf, sizeof(elf), UINT64_C(8) << 30);
	assert_refused(example_deb(EXAMPLE_CONTROL, &data), "not a .deb that can be read");
	example_tar_elf(&data, "a", "a");
	assert_int_equal(add(example_deb(EXAMPLE_CONTROL, &data), &packages, &error), STATUS_ERROR);
	assert_non_null(strstr(error.text, "unpacks to more than 4096 MiB"));
	error_clear(&error);
	packages_free(&packages);
	packages = (struct packages){ .elf_total = PACKAGES_ELF_MAX - 100 };
	example_tar_elf(&data, "a", "a");
	assert_int_equal(add(example_deb(EXAMPLE_CONTROL, &data), &packages, &error), STATUS_ERROR);
	assert_non_null(strstr(error.text, "of more than 1024 MiB"));
	error_clear(&error);
	packages_free(&packages);
}

/* Cut anywhere: an error or a package without its end, and never a file that is not whole. */
static void test_cut(void **state)
{
	struct buffer whole = some_deb(EXAMPLE_CONTROL);

	(void)state;
	for (size_t size = 0; size < whole.count; size += 7) {
		struct packages packages = { 0 };
		struct error error = { 0 };
		enum status status = packages_add_bytes("it.deb", whole.item, size, &packages, &error);

		if (packages.files.count)
			assert_holds(&packages, "usr/bin/a", "a");
		else
			assert_int_equal(status, STATUS_ERROR);
		error_clear(&error);
		packages_free(&packages);
	}
	array_free(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_compressions),
		cmocka_unit_test(test_folder_of_packages),
		cmocka_unit_test(test_unpacked),
		cmocka_unit_test(test_not_expected),
		cmocka_unit_test(test_bad_control),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
