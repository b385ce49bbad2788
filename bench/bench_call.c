/*
 * What a call costs in each state of a patch, beside other ways to redirect one. All are measured in turns in one run; each
 * figure is the best of the rounds. The function is as small as can be, so nothing hides the jumps.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch/arch.h"
#include "arch/dispatch.h"
#include "base/bytes.h"

/* Rounds are short, so that on a busy machine, too, some are not disturbed. */
#define CALLS 100000u
#define ROUNDS 400
#define CALLS_PROBED 200u	/* a uprobe is that much slower */
#define ROUNDS_PROBED 50
#define THREADS 64
#define TABLE_BITS 8		/* four entries for each thread, as stent makes it */
#define INDEX 3

static const struct arch *const arch = &arch_x86_64;

typedef int (*function)(int);

/* Also the code of which copies are patched: position-independent, and larger than a jump. */
__attribute__((noinline)) int counted(int number);
__asm__(".pushsection .text\n"
	".balign 64\n"
	".type counted, @function\n"
	"counted: lea 1(%rdi), %eax\n"
	"	mov %eax, %edx\n"
	"	ret\n"
	".size counted, . - counted\n"
	".popsection\n");
#define COUNTED_SIZE 6

/* Each piece stands in cache lines of its own. */
struct area {
	uint64_t selector, fallback, slot_new, slot_dispatcher, slot_thread_dispatcher;
	uint64_t mark, versions[INDEX + 1];
	_Alignas(64) uint64_t selector_thread;
	_Alignas(64) struct dispatch_entry table[1 << TABLE_BITS];
	_Alignas(64) uint8_t new_code[64], unpatched[64], settled[64], libpulp[64], decided[64], per_thread[64];
	_Alignas(64) uint8_t stub_libpulp[64], stub_decided[64], stub_thread[64];
	_Alignas(64) uint8_t dispatcher[64], dispatcher_thread[64], lookup[192];
};

static uint64_t address_of(const void *place)
{
	return (uint64_t)(uintptr_t)place;
}

/* An entry that is a jump. */
static bool redirect(uint8_t *entry, const uint8_t *to)
{
	return arch->write_jump(entry, arch->jump_size, address_of(entry), address_of(to));
}

/* jmp *slot(%rip); the slot is in the same area. */
static void write_stub(uint8_t *out, const uint64_t *slot)
{
	uint8_t stub[6] = { 0xff, 0x25 };

	store32(stub + 2, (uint32_t)(address_of(slot) - address_of(out) - sizeof(stub)));
	memcpy(out, stub, sizeof(stub));
}

static bool build(struct area *area)
{
	struct dispatch dispatch = { address_of(&area->selector), address_of(&area->fallback), address_of(area->table), TABLE_BITS,
				     address_of(area->lookup) };
	uint64_t own = address_of(__builtin_thread_pointer()), word = address_of(&area->versions[INDEX]);

	memcpy(area->new_code, (const void *)(uintptr_t)counted, COUNTED_SIZE);
	memcpy(area->unpatched, (const void *)(uintptr_t)counted, COUNTED_SIZE);
	area->slot_new = area->versions[INDEX] = address_of(area->new_code);
	area->mark = 1;
	area->selector = area->fallback = address_of(area->versions);
	area->slot_dispatcher = address_of(area->dispatcher);
	area->slot_thread_dispatcher = address_of(area->dispatcher_thread);
	write_stub(area->stub_libpulp, &area->slot_new);
	write_stub(area->stub_decided, &area->slot_dispatcher);
	write_stub(area->stub_thread, &area->slot_thread_dispatcher);
	/* Threads with stacks of 8 MiB and a guard page, one below the other; this is the first. */
	for (unsigned int i = 0; i < THREADS; i++) {
		uint64_t key = dispatch_key(own - i * UINT64_C(0x801000));

		area->table[dispatch_find(area->table, TABLE_BITS, key)] =
			(struct dispatch_entry){ key, address_of(area->versions) };
	}
	if (!redirect(area->settled, area->new_code) || !redirect(area->libpulp, area->stub_libpulp) ||
	    !redirect(area->decided, area->stub_decided) || !redirect(area->per_thread, area->stub_thread) ||
	    !arch->write_lookup(area->lookup, &dispatch) ||
	    !arch->write_dispatcher(area->dispatcher, address_of(area->dispatcher), &dispatch, word, word))
		return false;
	dispatch.selector = address_of(&area->selector_thread);		/* 0: each thread its own */
	return arch->write_dispatcher(area->dispatcher_thread, address_of(area->dispatcher_thread), &dispatch, word, word);
}

/* Nanoseconds per call. */
static double measure(function target, unsigned int calls)
{
	struct timespec start, end;
	int number = 0;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned int i = 0; i < calls; i++)
		number = target(number);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (number != (int)calls) {
		fprintf(stderr, "bench_call: %u calls were made, %d arrived\n", calls, number);
		exit(1);
	}
	return ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / calls;
}

/* Where in its file the code at an address stands. */
static bool file_offset(uint64_t address, uint64_t *offset)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	uint64_t start, end, at;
	char line[512];
	bool found = false;

	while (maps && !found && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &start, &end, &at) == 3 && address >= start &&
		    address < end) {
			*offset = address - start + at;
			found = true;
		}
	if (maps)
		fclose(maps);
	return found;
}

/* A uprobe on counted(), which does nothing but count; -1 with errno when the kernel doesn't permit it. */
static int open_uprobe(void)
{
	struct perf_event_attr attributes = { .size = sizeof(attributes) };
	FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	uint64_t offset;

	if (!file)
		return -1;
	if (fscanf(file, "%u", &attributes.type) != 1 || !file_offset(address_of((const void *)(uintptr_t)counted), &offset)) {
		fclose(file);
		errno = ENOENT;
		return -1;
	}
	fclose(file);
	attributes.uprobe_path = address_of("/proc/self/exe");
	attributes.probe_offset = offset;
	return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

enum { UNPATCHED, SETTLED, LIBPULP, DECIDED, PER_THREAD, WAYS };

static void keep_best(double *best, double value)
{
	if (*best == 0 || value < *best)
		*best = value;
}

static void print_line(const char *name, double nanoseconds, const double *best)
{
	double added = nanoseconds - best[UNPATCHED];

	printf("%-58s %9.2f %9.2f %9.2f\n", name, nanoseconds, added, nanoseconds / best[UNPATCHED]);
}

int main(void)
{
	static const char *const names[WAYS] = {
		[UNPATCHED] = "unpatched",
		[SETTLED] = "settled: entry jumps to the new code",
		[LIBPULP] = "libpulp's form: entry, jump through memory",
		[DECIDED] = "entry, stub, dispatcher, decided for the whole process",
		[PER_THREAD] = "entry, stub, dispatcher, per thread (64 threads)",
	};
	struct area *area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool can_look_up = (getauxval(AT_HWCAP2) & arch->lookup_hwcap2) == arch->lookup_hwcap2;
	double best[WAYS] = { 0 }, probed = 0;

	if (area == MAP_FAILED || !build(area)) {
		fprintf(stderr, "bench_call: no memory to run code in\n");
		return 1;
	}

	const uint8_t *entries[WAYS] = { area->unpatched, area->settled, area->libpulp, area->decided, area->per_thread };

	for (int round = 0; round < ROUNDS; round++)
		for (int way = 0; way < WAYS; way++)
			if (way != PER_THREAD || can_look_up)
				keep_best(&best[way], measure((function)(uintptr_t)entries[way], CALLS));

	int uprobe = open_uprobe(), reason = errno;

	for (int round = 0; round < ROUNDS_PROBED && uprobe >= 0; round++)
		keep_best(&probed, measure(counted, CALLS_PROBED));

	uint64_t hits = 0;

	if (uprobe >= 0 && (read(uprobe, &hits, sizeof(hits)) != sizeof(hits) || hits != ROUNDS_PROBED * CALLS_PROBED)) {
		fprintf(stderr, "bench_call: the uprobe has counted %" PRIu64 " calls of %u\n", hits,
			ROUNDS_PROBED * CALLS_PROBED);
		return 1;
	}
	printf("One call of a function, ns, best of %d rounds of %u calls in turns (uprobe: %d of %u)\n\n", ROUNDS, CALLS, ROUNDS_PROBED,
	       CALLS_PROBED);
	printf("%-58s %9s %9s %9s\n", "", "ns", "added", "ratio");
	for (int way = 0; way < WAYS; way++) {
		if (best[way] > 0)
			print_line(names[way], best[way], best);
		else
			printf("%-58s not available: the thread pointer can't be read (AT_HWCAP2)\n", names[way]);
	}
	if (uprobe >= 0)
		print_line("uprobe that only counts", probed, best);
	else
		printf("%-58s not available: %s\n", "uprobe that only counts", strerror(reason));
	printf("\nAdded by settled / added by libpulp's form: %.2f\n",
	       (best[SETTLED] - best[UNPATCHED]) / (best[LIBPULP] - best[UNPATCHED]));
	if (can_look_up)
		printf("Added per thread / added by libpulp's form: %.2f\n",
		       (best[PER_THREAD] - best[UNPATCHED]) / (best[LIBPULP] - best[UNPATCHED]));
	if (can_look_up && uprobe >= 0)
		printf("Added by a uprobe / added per thread: %.0f\n",
		       (probed - best[UNPATCHED]) / (best[PER_THREAD] - best[UNPATCHED]));
	return 0;
}
