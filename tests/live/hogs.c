/*
 * hogs.c: take all breakpoints of the first processor, as other stents and debuggers may, and keep them until standard input ends. Says "ready".
 */
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attributes),
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.bp_type = HW_BREAKPOINT_X,
		.bp_addr = (unsigned long)main,
		.bp_len = sizeof(long),
	};
	int count = 0;

	while (syscall(SYS_perf_event_open, &attributes, -1, 0, -1, 0) >= 0)
		count++;
	puts(count ? "ready" : "none");
	fflush(stdout);
	return getchar() == EOF ? 0 : 1;
}
