/*
 * test_packages.c: two sets of packages become one patch: which files belong together, what is said of each, and what is refused.
 */
#include "build_pair.h"
#include "diff/packages.h"
#include "diff/pairing.h"
#include "package_example.h"

#define SOURCE                                                                                             \
	"#define KEEP __attribute__((noinline, noclone))\n"                                                \
	"int state, table[10];\n"                                                                          \
	"KEEP int one(int a) { state += a; return a * state; }\n"                                          \
	"KEEP int two(int a) { table[a & 7] = state; return a + 2; }\n"                                    \
	"KEEP int three(int a) { return one(a) ^ two(a + 1); }\n"                                          \
	"KEEP int four(int a) { return three(a) * table[a & 3]; }\n"
#define CHANGED SOURCE "KEEP int five(int a) { return four(a) + (V == 1 ? a * 3 : a / 7 + state); }\n"
#define GROWN SOURCE "int grown[V * 100] = { 1 }, behind = 3;\nKEEP int five(int a) { return grown[a] + behind; }\n"
#define PLAIN_LIBRARY "-O2 -fPIC -shared -nostdlib -Wl,-soname,"	/* its builds have different build-ids whatever is in them */
#define LIBRARY "-O2 -fPIC -shared -nostdlib -Wl,--build-id=sha1 -Wl,-soname,"

struct set {
	char folder[64];
	struct buffer data[2];
	struct build_pair pairs[8];
	size_t count;
	struct bundle bundle;
	struct package_report report;
	struct error error;
};

static void add_file(struct set *set, int side, const char *path, const char *file)
{
	size_t size;
	uint8_t *bytes = file_read(file, &size);

	example_tar_file(&set->data[side], path, bytes, size);
	free(bytes);
}

static const struct build_pair *add_pair(struct set *set, const char *source, const char *flags, const char *old_path,
					 const char *new_path)
{
	struct build_pair *pair = &set->pairs[set->count++];

	*pair = build_pair(source, flags, 1);
	add_file(set, 0, old_path, pair->file[0]);
	add_file(set, 1, new_path, pair->file[1]);
	return pair;
}

static enum status compare(struct set *set, const struct diff_options *options)
{
	static const char *const controls[] = { "Package: example\nVersion: 2:1.0-1\n", "Package: example\nVersion: 2:1.0-2\n" };
	char *paths[2];
	enum status status;

	strcpy(set->folder, "/tmp/stent-unit-XXXXXX");
	assert_non_null(mkdtemp(set->folder));
	for (int side = 0; side < 2; side++) {
		struct buffer deb = example_deb(controls[side], &set->data[side]);

		paths[side] = text_format("%s/%d.deb", set->folder, side);
		file_write(paths[side], deb.item, deb.count);
		array_free(&deb);
	}
	status = diff_packages(paths[0], paths[1], options, &set->bundle, &set->report, &set->error);
	for (int side = 0; side < 2; side++) {
		assert_int_equal(unlink(paths[side]), 0);
		free(paths[side]);
	}
	assert_int_equal(rmdir(set->folder), 0);
	return status;
}

static void set_free(struct set *set)
{
	for (size_t i = 0; i < set->count; i++)
		build_pair_free(&set->pairs[i]);
	bundle_free(&set->bundle);
	package_report_free(&set->report);
	error_clear(&set->error);
}

static void assert_verdict(const struct set *set, const char *path, enum package_verdict verdict)
{
	for (size_t i = 0; i < set->report.images.count; i++)
		if (!strcmp(set->report.images.item[i].path, path)) {
			assert_int_equal(set->report.images.item[i].verdict, verdict);
			return;
		}
	print_error("nothing is said of %s\n", path);
	assert_true(false);
}

/* By the same path, by a path with the version in it, and by a soname; both images are in the one patch. */
static void test_several_images(void **state)
{
	const struct diff_options options = { 0 };
	const struct build_pair *same;
	struct set set = { 0 };

	add_pair(&set, CHANGED, LIBRARY "libz-1.0-x.so", "usr/lib/libz-1.0-1.so", "usr/lib/libz-1.0-2.so");
	add_pair(&set, CHANGED, LIBRARY "liba.so.3", "lib/liba.so.3.1", "usr/lib/liba.so.3.2");
	same = add_pair(&set, SOURCE, LIBRARY "libother.so.1", "usr/lib/only-old.so", "usr/lib/libother.so.1");
	add_file(&set, 0, "usr/lib/same.so", same->file[0]);
	add_file(&set, 1, "usr/lib/same.so", same->file[0]);
	add_file(&set, 1, "usr/lib/more.so", same->file[0]);	/* two have that soname: neither is a counterpart */
	assert_int_equal(compare(&set, &options), STATUS_OK);
	assert_int_equal(set.bundle.count, 2);
	assert_string_equal(set.bundle.item[0].image, "liba.so.3");
	assert_string_equal(set.bundle.item[1].image, "libz-1.0-x.so");
	for (int i = 0; i < 2; i++) {
		assert_string_equal(set.bundle.item[i].name, "example-2:1.0-1-to-2:1.0-2");
		assert_string_equal(set.bundle.item[i].old_version, "2:1.0-1");
		assert_string_equal(set.bundle.item[i].new_version, "2:1.0-2");
	}
	assert_int_equal(bundle_verify(&set.bundle, &set.error), STATUS_OK);
	assert_verdict(&set, "usr/lib/libz-1.0-1.so", PACKAGE_CHANGED);
	assert_verdict(&set, "lib/liba.so.3.1", PACKAGE_CHANGED);
	assert_verdict(&set, "usr/lib/same.so", PACKAGE_SAME);
	assert_verdict(&set, "usr/lib/only-old.so", PACKAGE_ONLY_OLD);
	assert_verdict(&set, "usr/lib/more.so", PACKAGE_ONLY_NEW);
	set_free(&set);
}

/* One image that can't be done refuses all, unless it is left out by the user, which the patch then says. */
static void test_refused_and_excluded(void **state)
{
	static const char *const names[] = { "libgrown.so.1", "usr/lib/libgrown.so.1.0", "libgrown.so.1.0" }, *const unknown[] = { "libnone.so" };

	for (size_t i = 0; i < 3; i++) {
		struct diff_options options = { 0 };
		struct set set = { 0 };

		add_pair(&set, CHANGED, LIBRARY "liba.so.3", "usr/lib/liba.so.3", "usr/lib/liba.so.3");
		add_pair(&set, GROWN, LIBRARY "libgrown.so.1", "usr/lib/libgrown.so.1.0", "usr/lib/libgrown.so.1.0");
		if (i) {
			options.exclude = &names[i];
			options.exclude_count = 1;
		}
		assert_int_equal(compare(&set, &options), i ? STATUS_OK : STATUS_REFUSED);
		assert_verdict(&set, "usr/lib/libgrown.so.1.0", i ? PACKAGE_EXCLUDED : PACKAGE_REFUSED);
		assert_verdict(&set, "usr/lib/liba.so.3", PACKAGE_CHANGED);
		if (i) {
			assert_int_equal(set.bundle.count, 1);
			assert_string_equal(set.bundle.item[0].notes.item[set.bundle.item[0].notes.count - 1],
					    "usr/lib/libgrown.so.1.0 changed, too, and was left out by the user");
		} else {
			assert_non_null(strstr(set.error.text, "libgrown.so.1"));
		}
		set_free(&set);
	}

	struct diff_options options = { .exclude = unknown, .exclude_count = 1 };
	struct set set = { 0 };

	add_pair(&set, CHANGED, LIBRARY "liba.so.3", "usr/lib/liba.so.3", "usr/lib/liba.so.3");
	assert_int_equal(compare(&set, &options), STATUS_ERROR);
	assert_non_null(strstr(set.error.text, "libnone.so"));
	set_free(&set);
}

/* A file that changed and is no image that can be compared is not passed over in silence. */
static void test_unreadable(void **state)
{
	const struct diff_options options = { 0 };
	struct set set = { 0 };

	add_pair(&set, CHANGED, LIBRARY "liba.so.3", "usr/lib/liba.so.3", "usr/lib/liba.so.3");
	example_tar_elf(&set.data[0], "usr/lib/broken.so", "1");
	example_tar_elf(&set.data[1], "usr/lib/broken.so", "2");
	assert_int_equal(compare(&set, &options), STATUS_REFUSED);
	assert_verdict(&set, "usr/lib/broken.so", PACKAGE_REFUSED);
	assert_non_null(strstr(set.error.text, "usr/lib/broken.so"));
	set_free(&set);
}

static void test_nothing(void **state)
{
	const struct diff_options options = { 0 };
	struct set set = { 0 };

	add_pair(&set, SOURCE, PLAIN_LIBRARY "liba.so.3", "usr/lib/liba.so.3", "usr/lib/liba.so.3");
	assert_int_equal(compare(&set, &options), STATUS_NOTHING);
	assert_verdict(&set, "usr/lib/liba.so.3", PACKAGE_NOTHING);
	set_free(&set);
}

/* One changed image alone has the name that it has as a file. */
static void test_one_image(void **state)
{
	const struct diff_options options = { 0 };
	struct set set = { 0 };

	add_pair(&set, CHANGED, LIBRARY "liba.so.3", "usr/lib/liba.so.3", "usr/lib/liba.so.3");
	assert_int_equal(compare(&set, &options), STATUS_OK);
	assert_int_equal(set.bundle.count, 1);
	assert_string_equal(set.bundle.item[0].name, "liba.so.3-2:1.0-1-to-2:1.0-2");
	set_free(&set);
}

/* (The first build is there already when the second one is made.) */
#define NUMBER "$([ -e v1 ] && echo 2 || echo 1)"
#define NEEDS(library) "$(echo 'int z;' | gcc -shared -fPIC -x c - -Wl,-soname," library " -o libz.so; echo -Wl,--no-as-needed ./libz.so) "
#define OTHER_LIBRARY "$([ -e v1 ] && echo libzstd.so.1 || echo libz.so.1)"

/* New code that is made for another library than the process has goes in only together with that. */
static void test_renamed_library(void **state)
{
	static const char *const old_name = "libz-1.0-1.so", *const new_name = "libz-1.0-2.so";

	for (int i = 0; i < 3; i++) {
		const struct diff_options options = { .exclude = &old_name, .exclude_count = i == 2 };
		struct set set = { 0 };

		add_pair(&set, CHANGED, LIBRARY "libuser.so.1 " NEEDS("libz-1.0-" NUMBER ".so"), "usr/lib/libuser.so.1", "usr/lib/libuser.so.1");
		if (i)
			add_pair(&set, CHANGED, LIBRARY "libz-1.0-" NUMBER ".so", "usr/lib/libz-1.0-1.so", "usr/lib/libz-1.0-2.so");
		assert_int_equal(compare(&set, &options), i == 1 ? STATUS_OK : STATUS_REFUSED);
		assert_verdict(&set, "usr/lib/libuser.so.1", i == 1 ? PACKAGE_CHANGED : PACKAGE_REFUSED);
		if (i == 1)
			assert_int_equal(set.bundle.count, 2);
		else
			assert_non_null(strstr(set.error.text, "libuser.so.1: its new build is made for libz-1.0-2.so, the running one for libz-1.0-1.so"));
		set_free(&set);
	}

	/* What is left out is the one that runs, and has the old name. */
	const struct diff_options options = { .exclude = &new_name, .exclude_count = 1 };
	struct set set = { 0 };

	add_pair(&set, CHANGED, LIBRARY "libz-1.0-" NUMBER ".so", "usr/lib/libz-1.0-1.so", "usr/lib/libz-1.0-2.so");
	assert_int_equal(compare(&set, &options), STATUS_ERROR);
	assert_non_null(strstr(set.error.text, new_name));
	set_free(&set);
}

/* One that begins with the same letters is another one. */
static void test_other_library(void **state)
{
	const struct diff_options options = { 0 };
	struct set set = { 0 };

	add_pair(&set, CHANGED, LIBRARY "libuser.so.1 " NEEDS(OTHER_LIBRARY), "usr/lib/libuser.so.1", "usr/lib/libuser.so.1");
	assert_int_equal(compare(&set, &options), STATUS_OK);
	set_free(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_several_images),
		cmocka_unit_test(test_refused_and_excluded),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_one_image),
		cmocka_unit_test(test_renamed_library),
		cmocka_unit_test(test_other_library),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
