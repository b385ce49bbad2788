/* Whatever is in the cache's folder, an image gets its own rows; and the folder is used where that is safe. */
#include "rows_example.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "unwind/rows_cache.h"
#include "unwind/rows_folder.h"

#define NAME "0123456789abcdef0123456789abcdef01234567.rows"
#define NOBODY 65534

struct scene {
	struct validated *built;
	char folder[32];
	char *path;		/* of the image's file in the folder */
};

static int set_up(void **state)
{
	struct scene *scene = memory_zeroed(1, sizeof(*scene));

	scene->built = example_build(1);
	strcpy(scene->folder, "/tmp/stent-unit-XXXXXX");
	assert_non_null(mkdtemp(scene->folder));
	scene->path = text_format("%s/" NAME, scene->folder);
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;
	char *command = text_format("rm -rf %s", scene->folder);

	assert_int_equal(system(command), 0);
	free(command);
	free(scene->path);
	validated_free(scene->built);
	free(scene);
	return 0;
}

/* One look-up in a cache of its own, which must give the image's rows, whatever else. */
static struct rows_cache_counts look_up(const struct scene *scene, const struct validated *built)
{
	struct rows_cache *cache = rows_cache_open(scene->folder);
	const struct code_rows *code = rows_cache_get(cache, &built->image);
	struct rows_cache_counts counts;

	assert_non_null(code);
	assert_true(same_rows(code->rows, built->rows));
	assert_true(built->validation.switches.count > 0);
	assert_int_equal(code->switches.count, built->validation.switches.count);
	assert_memory_equal(code->switches.item, built->validation.switches.item, code->switches.count * sizeof(uint64_t));
	counts = rows_cache_counts(cache);
	assert_int_equal(counts.memory + counts.disk + counts.built, 1);
	rows_cache_close(cache);
	return counts;
}

#define expect_from_disk(scene) assert_int_equal(look_up((scene), (scene)->built).disk, 1)

/* What is there is not used, and replaced by what is. */
#define expect_replaced(scene) do { \
	struct rows_cache_counts replaced = look_up((scene), (scene)->built); \
	assert_int_equal(replaced.built, 1); \
	assert_int_equal(replaced.written, 1); \
	expect_from_disk(scene); \
} while (0)

/* What is there is not used, and stays. */
#define expect_unused(scene) do { \
	struct rows_cache_counts unused = look_up((scene), (scene)->built); \
	assert_int_equal(unused.built, 1); \
	assert_int_equal(unused.written, 0); \
} while (0)

static size_t count_files(const char *folder)
{
	DIR *list = opendir(folder);
	size_t count = 0;

	assert_non_null(list);
	for (struct dirent *found; (found = readdir(list));)
		count += found->d_name[0] != '.';
	closedir(list);
	return count;
}

static void the_second_look_is_from_memory(void **state)
{
	const struct scene *scene = *state;
	struct rows_cache *cache = rows_cache_open(NULL);
	const struct code_rows *first = rows_cache_get(cache, &scene->built->image);

	assert_true(same_rows(first->rows, scene->built->rows));
	assert_ptr_equal(rows_cache_get(cache, &scene->built->image), first);
	assert_int_equal(rows_cache_counts(cache).built, 1);
	assert_int_equal(rows_cache_counts(cache).memory, 1);
	rows_cache_close(cache);
	assert_int_equal(count_files(scene->folder), 0);
}

static void another_cache_finds_them_on_disk(void **state)
{
	const struct scene *scene = *state;
	struct stat status;

	expect_replaced(scene);
	assert_int_equal(count_files(scene->folder), 1);
	assert_int_equal(stat(scene->path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

static void any_changed_byte_is_replaced(void **state)
{
	const struct scene *scene = *state;
	uint8_t *bytes, *again;
	size_t size, size_again;

	look_up(scene, scene->built);
	bytes = file_read(scene->path, &size);
	for (size_t i = 0; i < size; i++) {
		bytes[i] ^= 0x40;
		file_write(scene->path, bytes, size);
		bytes[i] ^= 0x40;
		assert_int_equal(look_up(scene, scene->built).built, 1);
		again = file_read(scene->path, &size_again);
		assert_int_equal(size_again, size);
		assert_memory_equal(again, bytes, size);
		free(again);
	}
	free(bytes);
}

static void a_cut_off_file_is_replaced(void **state)
{
	const struct scene *scene = *state;
	size_t size;

	look_up(scene, scene->built);
	free(file_read(scene->path, &size));
	for (off_t cut = 0; cut < (off_t)size; cut += 19) {
		assert_int_equal(truncate(scene->path, cut), 0);
		expect_replaced(scene);
	}
	assert_int_equal(truncate(scene->path, (off_t)size + 20), 0);
	expect_replaced(scene);
	assert_int_equal(truncate(scene->path, (off_t)1 << 40), 0);	/* there is not so much memory */
	expect_replaced(scene);
}

/* A hostile image with the build-id of another. */
static void a_build_id_is_not_enough(void **state)
{
	const struct scene *scene = *state;
	struct validated *other = example_build(1000);
	struct rows_cache *cache = rows_cache_open(scene->folder);

	assert_true(build_id_equal(&other->image.id, &scene->built->image.id));
	assert_int_equal(look_up(scene, other).built, 1);
	expect_replaced(scene);
	assert_int_equal(look_up(scene, other).built, 1);

	rows_cache_get(cache, &other->image);
	assert_ptr_not_equal(rows_cache_get(cache, &scene->built->image), rows_cache_get(cache, &other->image));
	assert_int_equal(rows_cache_counts(cache).built, 1);
	rows_cache_close(cache);
	validated_free(other);
}

static void no_build_id_means_no_file(void **state)
{
	const struct scene *scene = *state;

	scene->built->image.id.size = 0;
	expect_unused(scene);
	assert_int_equal(count_files(scene->folder), 0);
}

static void what_is_no_regular_file_is_replaced(void **state)
{
	const struct scene *scene = *state;
	char *elsewhere = text_format("%s/elsewhere", scene->folder);

	look_up(scene, scene->built);
	assert_int_equal(rename(scene->path, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, scene->path), 0);
	expect_replaced(scene);
	assert_int_equal(unlink(scene->path), 0);
	assert_int_equal(mkfifo(scene->path, 0600), 0);
	expect_replaced(scene);
	assert_int_equal(unlink(scene->path), 0);
	assert_int_equal(mkdir(scene->path, 0700), 0);
	expect_unused(scene);	/* and no temporary file stays: */
	assert_int_equal(count_files(scene->folder), 2);
	free(elsewhere);
}

static void what_others_can_write_is_replaced(void **state)
{
	const struct scene *scene = *state;

	look_up(scene, scene->built);
	assert_int_equal(chmod(scene->path, 0620), 0);
	expect_replaced(scene);
	assert_int_equal(chmod(scene->path, 0602), 0);
	expect_replaced(scene);
}

static void a_folder_that_others_can_write_to_is_not_used(void **state)
{
	const struct scene *scene = *state;

	look_up(scene, scene->built);
	assert_int_equal(chmod(scene->folder, 0702), 0);
	expect_unused(scene);
	assert_int_equal(chmod(scene->folder, 0720), 0);
	expect_unused(scene);
	assert_int_equal(chmod(scene->folder, 0755), 0);
	expect_from_disk(scene);
}

static void what_is_anothers_is_not_used(void **state)
{
	const struct scene *scene = *state;

	if (geteuid() != 0)
		skip();
	look_up(scene, scene->built);
	assert_int_equal(chown(scene->path, NOBODY, NOBODY), 0);
	expect_replaced(scene);
	assert_int_equal(chown(scene->folder, NOBODY, NOBODY), 0);
	expect_unused(scene);
}

static void a_folder_must_be_one(void **state)
{
	struct scene *scene = *state, other = *scene;
	char *target = text_format("%s/target", scene->folder);

	assert_int_equal(mkdir(target, 0700), 0);
	snprintf(other.folder, sizeof(other.folder), "%.22s/link", scene->folder);
	assert_int_equal(symlink(target, other.folder), 0);
	expect_unused(&other);
	assert_int_equal(count_files(target), 0);
	assert_int_equal(unlink(other.folder), 0);
	file_write_text(other.folder, "");
	expect_unused(&other);
	strcpy(other.folder, "");
	expect_unused(&other);
	free(target);
}

static void folders_are_made(void **state)
{
	struct scene *scene = *state, other = *scene;
	struct stat status;
	char *path = text_format("%.22s/a/b", scene->folder);

	strcpy(other.folder, path);
	expect_replaced(&other);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
	free(path);
}

static void rows_that_cannot_be_written_are_no_error(void **state)
{
	const struct scene *scene = *state;
	struct rows_cache_counts counts;
	struct rlimit before, small;

	/* As on a full disk, a write ends in the middle. (So would what this test prints.) */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){ 100, before.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	counts = look_up(scene, scene->built);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(counts.built, 1);
	assert_int_equal(counts.written, 0);
	assert_int_equal(count_files(scene->folder), 0);
}

static void an_unwritable_folder_is_read(void **state)
{
	const struct scene *scene = *state;
	struct rows_cache_counts counts;

	/* Root may write anyway. */
	if (geteuid() == 0) {
		assert_int_equal(chown(scene->folder, NOBODY, NOBODY), 0);
		assert_int_equal(seteuid(NOBODY), 0);
	}
	look_up(scene, scene->built);
	assert_int_equal(chmod(scene->folder, 0500), 0);
	counts = look_up(scene, scene->built);
	assert_int_equal(counts.disk, 1);
	assert_int_equal(truncate(scene->path, 1), 0);
	counts = look_up(scene, scene->built);
	assert_int_equal(counts.built, 1);
	assert_int_equal(counts.written, 0);
	assert_int_equal(chmod(scene->folder, 0700), 0);
	assert_int_equal(seteuid(getuid()), 0);
}

static void the_oldest_files_go(void **state)
{
	const struct scene *scene = *state;
	char *foreign = text_format("%s/precious", scene->folder);

	file_write_text(foreign, "");
	for (unsigned int i = 0; i < ROWS_FOLDER_FILES + 10; i++) {
		char *path = text_format("%s/%04x.%s", scene->folder, i, i % 2 ? "rows" : "new");
		struct timespec times[2] = { { .tv_sec = 1000 + i }, { .tv_sec = 1000 + i } };

		file_write_text(path, "");
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
		free(path);
	}
	expect_replaced(scene);
	assert_int_equal(count_files(scene->folder), ROWS_FOLDER_FILES + 1);
	assert_int_equal(access(foreign, F_OK), 0);
	for (unsigned int i = 8; i < 14; i++) {
		char *path = text_format("%s/%04x.%s", scene->folder, i, i % 2 ? "rows" : "new");

		assert_int_equal(access(path, F_OK), i < 11 ? -1 : 0);
		free(path);
	}
	free(foreign);
}

#define WRITERS 4

/* Each for itself: looks up, cuts the file off, looks up... */
static void many_at_once_do_no_harm(void **state)
{
	const struct scene *scene = *state;
	struct validated *other = example_build(1000);
	pid_t writer[WRITERS];

	for (unsigned int i = 0; i < WRITERS; i++) {
		writer[i] = fork();
		assert_true(writer[i] >= 0);
		if (writer[i])
			continue;
		alarm(60);
		for (unsigned int round = 0; round < 200; round++) {
			const struct validated *mine = (round + i) % 3 ? scene->built : other;
			struct rows_cache *cache = rows_cache_open(scene->folder);

			if (!same_rows(rows_cache_get(cache, &mine->image)->rows, mine->rows))
				_exit(1);
			rows_cache_close(cache);
			if (round % 5 == i && truncate(scene->path, 200) && errno != ENOENT)
				_exit(2);
		}
		_exit(0);
	}
	for (unsigned int i = 0; i < WRITERS; i++) {
		int status;

		assert_int_equal(waitpid(writer[i], &status, 0), writer[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(count_files(scene->folder), 1);
	validated_free(other);
}

static void expect_folder(const char *expected)
{
	char *folder = rows_cache_folder();

	if (expected)
		assert_string_equal(folder, expected);
	else
		assert_null(folder);
	free(folder);
}

static void the_folder_follows_the_environment(void **state)
{
	(void)state;
	setenv("STENT_ROWS_CACHE", "/somewhere", 1);
	setenv("XDG_CACHE_HOME", "/xdg", 1);
	setenv("HOME", "/home", 1);
	expect_folder("/somewhere");
	setenv("STENT_ROWS_CACHE", "", 1);
	expect_folder(NULL);
	unsetenv("STENT_ROWS_CACHE");
	if (geteuid() == 0) {
		expect_folder("/var/cache/stent");
		assert_int_equal(seteuid(NOBODY), 0);
	}
	expect_folder("/xdg/stent");
	setenv("XDG_CACHE_HOME", "relative", 1);
	expect_folder("/home/.cache/stent");
	unsetenv("HOME");
	expect_folder(NULL);
	assert_int_equal(seteuid(getuid()), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_second_look_is_from_memory),
		TEST(another_cache_finds_them_on_disk),
		TEST(any_changed_byte_is_replaced),
		TEST(a_cut_off_file_is_replaced),
		TEST(a_build_id_is_not_enough),
		TEST(no_build_id_means_no_file),
		TEST(what_is_no_regular_file_is_replaced),
		TEST(what_others_can_write_is_replaced),
		TEST(a_folder_that_others_can_write_to_is_not_used),
		TEST(what_is_anothers_is_not_used),
		TEST(a_folder_must_be_one),
		TEST(folders_are_made),
		TEST(rows_that_cannot_be_written_are_no_error),
		TEST(an_unwritable_folder_is_read),
		TEST(the_oldest_files_go),
		TEST(many_at_once_do_no_harm),
		TEST(the_folder_follows_the_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
