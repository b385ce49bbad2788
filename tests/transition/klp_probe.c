/*
 * klp_probe.c: for selftests.sh, a uprobe at an offset in a file, as tracers set it, until standard input ends.
 *
 *	klp_probe PID FILE OFFSET
 *
 * Exit status 77: this kernel has no uprobes, or does not permit it.
 */
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct perf_event_attr attributes = { .size = sizeof(attributes) };
	FILE *type = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	uint64_t hits = 0;
	int event;

	if (argc != 4)
		return 2;
	if (!type || fscanf(type, "%u", &attributes.type) != 1)
		return 77;
	attributes.uprobe_path = (uint64_t)(uintptr_t)argv[2];
	attributes.probe_offset = strtoull(argv[3], NULL, 0);
	event = (int)syscall(SYS_perf_event_open, &attributes, atoi(argv[1]), -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0) {
		perror("klp_probe");
		return 77;
	}
	puts("ready");
	fflush(stdout);
	getchar();
	return read(event, &hits, sizeof(hits)) == sizeof(hits) && hits ? 0 : 1;
}
