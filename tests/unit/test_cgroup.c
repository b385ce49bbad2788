/* Which group a process is in, where its files are, and what they leave: texts and folders as kernels make them, and others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/cgroup.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#include "files.h"

#define V1 "33 25 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n34 25 0:29 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n"
#define V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static void expect_folder(const char *groups, const char *mounts, const char *path, size_t top, bool unified)
{
	struct cgroup_folder folder;

	cgroup_find_folder(groups, mounts, &folder);
	if (path) {
		assert_non_null(folder.path);
		assert_string_equal(folder.path, path);
		assert_int_equal(folder.top, top);
		assert_int_equal(folder.unified, unified);
	} else {
		assert_null(folder.path);
	}
	free(folder.path);
}

static void test_folders(void **state)
{
	expect_folder("0::/system.slice/a.service\n", V2, "/sys/fs/cgroup/system.slice/a.service", 14, true);
	expect_folder("4:cpu,memory:/a\n0::/b\n", V1, "/sys/fs/cgroup/memory/a", 21, false);
	expect_folder("0::/b\n4:memory:/a\n", V1 V2, "/sys/fs/cgroup/memory/a", 21, false);
	/* A name that only looks like the controller's. */
	expect_folder("5:name=memory_of:/x\n6:memoryless:/y\n0::/b\n", V1 V2, "/sys/fs/cgroup/b", 14, true);
	/* A container that sees a part of it. */
	expect_folder("0::/docker/1/a\n", "1 2 0:1 /docker/1 /mnt rw - cgroup2 none rw\n", "/mnt/a", 4, true);
	expect_folder("0::/docker/1\n", "1 2 0:1 /docker/1 /mnt rw - cgroup2 none rw\n", "/mnt", 4, true);
	expect_folder("0::/docker/12\n", "1 2 0:1 /docker/1 /mnt rw - cgroup2 none rw\n", NULL, 0, true);
	expect_folder("0::/../other\n", V2, NULL, 0, true);
	expect_folder("0::/..\n", V2, NULL, 0, true);
	/* Nothing that says it. */
	expect_folder("", V2, NULL, 0, true);
	expect_folder("0::/a\n", "", NULL, 0, true);
	expect_folder("0::/a\n", V1, NULL, 0, true);
	expect_folder("4:memory:/a\n", V2, NULL, 0, true);
	expect_folder("0:\n:\n\n::\n7\n", V1 V2, NULL, 0, true);
	expect_folder("0::/a\n", " - cgroup2\n1 2 - cgroup2 none rw\n - \n1 2 0:1 / /mnt rw - cgroup2\n", NULL, 0, true);
}

static char folder_name[] = "/tmp/stent-test.XXXXXX";

static void put(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder_name, name);
	file_write_text(path, text);
}

static uint64_t room_of(const char *below, bool unified, char group[256])
{
	struct cgroup_folder folder = { .top = strlen(folder_name), .unified = unified };
	struct cgroup_room room;
	char path[256];

	snprintf(path, sizeof(path), "%s%s", folder_name, below);
	folder.path = path;
	cgroup_folder_room(&folder, &room);
	snprintf(group, 256, "%s", room.group ? room.group + strlen(folder_name) : "-");
	free(room.group);
	return room.bytes;
}

static void test_rooms(void **state)
{
	char group[256], path[256];

	assert_true(room_of("/a/b", true, group) == UINT64_MAX);
	assert_string_equal(group, "-");
	snprintf(path, sizeof(path), "%s/a", folder_name);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/a/b", folder_name);
	assert_int_equal(mkdir(path, 0700), 0);
	put("a/b/memory.max", "max\n");
	put("a/b/memory.current", "5000\n");
	assert_true(room_of("/a/b", true, group) == UINT64_MAX);
	put("a/b/memory.max", "8000\n");
	assert_int_equal(room_of("/a/b", true, group), 3000);
	assert_string_equal(group, "/a/b");
	/* Clean pages of files that were not used of late. */
	put("a/b/memory.stat", "anon 1\nworkingset_inactive_file 99\ninactive_file 1000\nfile_dirty 100\nfile_writeback 50\n");
	assert_int_equal(room_of("/a/b", true, group), 3850);
	put("a/b/memory.stat", "inactive_file 1000\nfile_dirty 900\nfile_writeback 101\n");
	assert_int_equal(room_of("/a/b", true, group), 3000);
	/* The limit that threads are slowed down at. */
	put("a/b/memory.high", "6000\n");
	assert_int_equal(room_of("/a/b", true, group), 1000);
	put("a/b/memory.current", "7000\n");
	assert_int_equal(room_of("/a/b", true, group), 0);
	/* The group above, up to the mount point, and of both versions. */
	put("a/b/memory.current", "1000\n");
	put("a/memory.max", "900\n");
	put("a/memory.current", "800\n");
	assert_int_equal(room_of("/a/b", true, group), 100);
	assert_string_equal(group, "/a");
	put("memory.max", "50\n");
	put("memory.current", "20\n");
	assert_int_equal(room_of("/a/b", true, group), 30);
	assert_string_equal(group, "");
	put("memory.limit_in_bytes", "9223372036854771712\n");
	put("memory.usage_in_bytes", "4096\n");
	put("memory.memsw.limit_in_bytes", "8192\n");
	put("memory.memsw.usage_in_bytes", "8000\n");
	put("memory.stat", "inactive_file 7\ntotal_inactive_file 10\ntotal_dirty 1\ntotal_writeback 1\n");
	assert_int_equal(room_of("/a/b", false, group), 200);
}

static int make_folder(void **state)
{
	return mkdtemp(folder_name) ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const names[] = { "a/b/memory.max", "a/b/memory.current", "a/b/memory.stat", "a/b/memory.high", "a/b",
					     "a/memory.max", "a/memory.current", "a", "memory.max", "memory.current", "memory.limit_in_bytes",
					     "memory.usage_in_bytes", "memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes", "memory.stat", "" };
	char path[256];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder_name, names[i]);
		remove(path);
	}
	return access(folder_name, F_OK) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folders),
		cmocka_unit_test(test_rooms),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
