/*
 * hard.c: a process with one thread whose stack is hard to walk.
 *
 *	hard KIND	the thread is named KIND; once it stands still (or spins), one line is printed:
 *
 *	ready TID PID START END START END
 *
 * TID is the thread, PID its process (another one for a child by fork or vfork). The first range is the function asked about:
 * it has a frame on the stack of the thread, or on one that the thread will go back to. The second one was never called.
 */
#include <alloca.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#ifdef __GLIBC__	/* musl has no makecontext() */
#include <ucontext.h>
#endif
#include <unistd.h>

#define FRAME __attribute__((noinline, noclone))
#define KEEP_FRAME() __asm__ volatile("")	/* behind a call: it is not made a jump */
#define SIDE_STACK 65536

static atomic_int thread_id, process_id, arrived;
static int nothing[2];		/* a pipe that nobody writes to */
static volatile int forever = 1;

void block(void);
void lie(void);
void without_cfi(void (*next)(void));
extern const uint8_t held_start[] __asm__("__start_held_text"), held_end[] __asm__("__stop_held_text");
extern const uint8_t dies_start[] __asm__("__start_dies_text"), dies_end[] __asm__("__stop_dies_text");
extern const uint8_t absent_start[] __asm__("__start_absent_text"), absent_end[] __asm__("__stop_absent_text");

FRAME void block(void)
{
	char byte;

	process_id = (int)syscall(SYS_getpid);
	arrived = 1;
	if (read(nothing[0], &byte, 1) != 0)
		abort();
}

/* The function asked about. */
__attribute__((section("held_text"))) FRAME static void held(void (*next)(void))
{
	next();
	KEEP_FRAME();
}

__attribute__((section("absent_text"), used)) FRAME static int absent(int number)
{
	return number + 1;
}

static void run_plain(void)
{
	held(block);
}

/* Signals */

static void handle(int signal)
{
	(void)signal;
	block();
	KEEP_FRAME();
}

static void install(int flags)
{
	const struct sigaction action = { .sa_handler = handle, .sa_flags = flags };

	sigaction(SIGUSR1, &action, NULL);
}

FRAME static void raise_it(void)
{
	raise(SIGUSR1);
	KEEP_FRAME();
}

static void run_handler(void)
{
	install(0);
	held(raise_it);
}

/* A leaf that uses the red zone, and is interrupted anywhere. */
FRAME static void red_zone(void)
{
	volatile long count[6] = { 0 };

	while (forever)
		count[5]++;
}

static void announce_spin(void)
{
	process_id = (int)syscall(SYS_getpid);
	arrived = 1;
}

FRAME static void spin_announced(void)
{
	announce_spin();
	red_zone();
	KEEP_FRAME();
}

static void run_redzone(void)
{
	held(spin_announced);
}

/* main() sends the signal. */
static void run_interrupted(void)
{
	install(0);
	held(red_zone);
}

static void use_signal_stack(void *memory)
{
	const stack_t stack = { .ss_sp = memory, .ss_size = SIDE_STACK };

	if (sigaltstack(&stack, NULL))
		abort();
}

static void run_altstack(void)
{
	use_signal_stack(malloc(SIDE_STACK));
	install(SA_ONSTACK);
	held(raise_it);
}

/* The signal stack is an array in a frame: held()'s frame is *below* the stack pointer of the handler. */
static void run_altstack_own(void)
{
	char memory[SIDE_STACK];

	use_signal_stack(memory);
	install(SA_ONSTACK);
	held(raise_it);
	KEEP_FRAME();
}

/* Frames of unusual shape */

FRAME static void call_without_cfi(void)
{
	without_cfi(block);
	KEEP_FRAME();
}

static void run_asm(void)
{
	held(call_without_cfi);
}

FRAME static void use_alloca(void)
{
	char *memory = alloca((size_t)(thread_id % 100) + 1000);

	memset(memory, 1, 1000);
	__asm__ volatile("" : : "r"(memory) : "memory");
	block();
	__asm__ volatile("" : : "r"(memory) : "memory");
}

static void run_alloca(void)
{
	held(use_alloca);
}

FRAME static void realign(void)
{
	char memory[64] __attribute__((aligned(64)));

	__asm__ volatile("" : : "r"(memory) : "memory");
	block();
	__asm__ volatile("" : : "r"(memory) : "memory");
}

static void run_realign(void)
{
	held(realign);
}

/* With arguments on the stack the CFA can't be had from the frame pointer: gcc keeps it in a word of the frame. */
FRAME static long realign_drap(long a, long b, long c, long d, long e, long f, long seventh)
{
	char memory[64] __attribute__((aligned(64)));
	char *more = alloca((size_t)(thread_id % 100) + 100);

	__asm__ volatile("" : : "r"(memory), "r"(more) : "memory");
	block();
	__asm__ volatile("" : : "r"(memory), "r"(more) : "memory");
	return a + b + c + d + e + f + seventh;
}

FRAME static void call_drap(void)
{
	realign_drap(1, 2, 3, 4, 5, 6, 7);
	KEEP_FRAME();
}

static void run_drap(void)
{
	held(call_drap);
}

__attribute__((noreturn)) FRAME static void never_returns(void)
{
	block();
	abort();
}

/* Its last instruction is a call: the return address is no longer inside of it. */
__attribute__((section("dies_text"))) FRAME static void dies(void)
{
	never_returns();
}

FRAME static void call_dies(void)
{
	dies();
	KEEP_FRAME();
}

static void run_noreturn(void)
{
	held(call_dies);
}

FRAME static long deep(long depth)
{
	long below = 0;

	if (depth)
		below = deep(depth - 1);
	else
		block();
	__asm__ volatile("" : "+r"(below));	/* or gcc makes it a loop */
	return below + depth;
}

FRAME static void go_deep(void)
{
	if (deep(20000) < 0)
		abort();
}

static void run_deep(void)
{
	held(go_deep);
}

/* Each frame is larger than what is read at once. */
FRAME static long wide(long depth)
{
	char memory[40000];
	long sum = depth;

	__asm__ volatile("" : : "r"(memory) : "memory");
	if (depth)
		sum += wide(depth - 1);
	else
		block();
	__asm__ volatile("" : : "r"(memory) : "memory");
	return sum;
}

FRAME static void go_wide(void)
{
	if (wide(100) < 0)
		abort();
}

static void run_wide(void)
{
	held(go_wide);
}

/* Code without an image */

FRAME static void call_jit(void)
{
	/* sub $8,%rsp; call *%rdi; add $8,%rsp; ret */
	static const uint8_t code[] = { 0x48, 0x83, 0xec, 0x08, 0xff, 0xd7, 0x48, 0x83, 0xc4, 0x08, 0xc3 };
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void (*jit)(void (*)(void));

	memcpy(memory, code, sizeof(code));
	mprotect(memory, 4096, PROT_READ | PROT_EXEC);
	memcpy(&jit, &memory, sizeof(jit));
	jit(block);
	KEEP_FRAME();
}

static void run_jit(void)
{
	held(call_jit);
}

/* Other stacks */

#ifdef __GLIBC__
static ucontext_t thread_context, other_context;

static void make_context(void *stack, void (*run)(void))
{
	getcontext(&other_context);
	other_context.uc_stack.ss_sp = stack;
	other_context.uc_stack.ss_size = SIDE_STACK;
	other_context.uc_link = &thread_context;
	makecontext(&other_context, run, 0);
}

FRAME static void enter_context(void)
{
	swapcontext(&thread_context, &other_context);
	KEEP_FRAME();
}

FRAME static void leave_context(void)
{
	swapcontext(&other_context, &thread_context);
	KEEP_FRAME();
}

static void block_inside_held(void)
{
	held(block);
}

static void suspend_inside_held(void)
{
	held(leave_context);
}

static void run_context(void)
{
	make_context(malloc(SIDE_STACK), block_inside_held);
	enter_context();
}

/* held() waits on the thread's stack for the context to come back. */
static void run_context_outer(void)
{
	make_context(malloc(SIDE_STACK), block);
	held(enter_context);
}

/* The same, and the context's stack lies above held()'s frame. */
static void run_context_own(void)
{
	char memory[SIDE_STACK];

	make_context(memory, block);
	held(enter_context);
	KEEP_FRAME();
}

/* held() is in a context that nobody runs. */
static void run_suspended(void)
{
	make_context(malloc(SIDE_STACK), suspend_inside_held);
	enter_context();
	block();
}

/* The first thread goes on as this one, on its stack, and has left held() on its own. (This one stays where it is for ever.) */
FRAME static void lend(void)
{
	getcontext(&other_context);
	block();
	KEEP_FRAME();
}

FRAME static void borrow(void)
{
	setcontext(&other_context);
	abort();
}
#endif

/* Processes */

FRAME static void call_vfork(void)
{
	pid_t child = vfork();

	if (!child) {
		block();
		_exit(0);
	}
	KEEP_FRAME();
}

FRAME static void call_fork(void)
{
	pid_t child = fork();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		block();
		_exit(0);
	}
	process_id = child;
	arrived = 1;
	while (forever)
		pause();
	KEEP_FRAME();
}

static void run_fork(void)
{
	held(call_fork);
}

static void run_vfork(void)
{
	held(call_vfork);
}

/* Running */

FRAME static void read_clock(void)
{
	struct timespec now;

	announce_spin();
	while (forever)
		clock_gettime(CLOCK_MONOTONIC, &now);
}

static void run_vdso(void)
{
	held(read_clock);
}

static volatile long counted;

FRAME static void count_on(long by)
{
	counted += by;
}

FRAME static void spin(void)
{
	announce_spin();
	for (long i = 0; forever; i++)
		count_on(i);
}

static void run_spin(void)
{
	held(spin);
}

/* Damage and lies */

/* The store is in a function of its own, so that nothing in the code of the frame tells of it. */
FRAME static void smash(volatile uint64_t *return_address, uint64_t with)
{
	*return_address = with;
	block();
	_exit(1);
}

FRAME static void smash_with_garbage(void)
{
	uint64_t *frame = __builtin_frame_address(0);

	smash(&frame[1], 0x4141414141414141);
	KEEP_FRAME();
}

FRAME static void call_smash_with_garbage(void)
{
	smash_with_garbage();
	KEEP_FRAME();
}

static void run_smashed(void)
{
	held(call_smash_with_garbage);
}

/* Into code, but not behind a call. (Were the address a constant, that would count as one more way into the function.) */
FRAME static void smash_with_code(void)
{
	uint64_t *frame = __builtin_frame_address(0);
	volatile int offset = 4;

	smash(&frame[1], (uint64_t)dies_start + (uint64_t)offset);
	KEEP_FRAME();
}

FRAME static void call_smash_with_code(void)
{
	smash_with_code();
	KEEP_FRAME();
}

static void run_smashed_code(void)
{
	held(call_smash_with_code);
}

/* Unwind data that leads past a frame of the function asked about. */
static void run_lying(void)
{
	lie();
	KEEP_FRAME();
}

__asm__(
	".pushsection .text\n"
	".globl without_cfi\n"
	".type without_cfi, @function\n"
	"without_cfi:\n"
	"	sub	$24, %rsp\n"
	"	call	*%rdi\n"
	"	add	$24, %rsp\n"
	"	ret\n"
	".size without_cfi, . - without_cfi\n"
	".type lying, @function\n"
	"lying:\n"
	"	.cfi_startproc\n"
	"	sub	$8, %rsp\n"
	"	.cfi_def_cfa_offset 48\n"	/* it is 16, and 32 more are the frame of lied_past() */
	"	call	block\n"
	"	add	$8, %rsp\n"
	"	.cfi_def_cfa_offset 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size lying, . - lying\n"
	".globl lie\n"
	".type lie, @function\n"
	"lie:\n"
	"	.cfi_startproc\n"
	"	sub	$8, %rsp\n"
	"	.cfi_def_cfa_offset 16\n"
	"	call	lied_past\n"
	"	add	$8, %rsp\n"
	"	.cfi_def_cfa_offset 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size lie, . - lie\n"
	".popsection\n"
	".pushsection held_text, \"ax\", @progbits\n"
	".type lied_past, @function\n"
	"lied_past:\n"
	"	.cfi_startproc\n"
	"	sub	$24, %rsp\n"
	"	.cfi_def_cfa_offset 32\n"
	"	call	lying\n"
	"	add	$24, %rsp\n"
	"	.cfi_def_cfa_offset 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size lied_past, . - lied_past\n"
	".popsection\n");

static const struct {
	const char *name;
	void (*run)(void);
} kinds[] = {
	{ "plain", run_plain }, { "handler", run_handler }, { "redzone", run_redzone },
	{ "interrupted", run_interrupted }, { "altstack", run_altstack }, { "altstack_own", run_altstack_own },
	{ "asm", run_asm }, { "alloca", run_alloca }, { "realign", run_realign }, { "drap", run_drap },
	{ "noreturn", run_noreturn }, { "deep", run_deep }, { "wide", run_wide }, { "jit", run_jit },
#ifdef __GLIBC__
	{ "context", run_context }, { "context_outer", run_context_outer }, { "context_own", run_context_own },
	{ "suspended", run_suspended }, { "borrowed", lend },
#endif
	{ "fork", run_fork }, { "vfork", run_vfork }, { "leaderless", run_plain },
	{ "vdso", run_vdso }, { "spin", run_spin }, { "smashed", run_smashed },
	{ "smashed_code", run_smashed_code }, { "lying", run_lying },
};

static const char *kind;

static void *run(void *unused)
{
	prctl(PR_SET_NAME, kind);
	thread_id = (int)syscall(SYS_gettid);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, kind))
			kinds[i].run();
	fprintf(stderr, "hard: %s is no kind, or its thread came back\n", kind);
	exit(2);
	return unused;
}

static char state_of(int process, int thread)
{
	char path[64], text[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", process, thread);
	file = fopen(path, "r");
	if (!file)
		return '?';
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);

	const char *end = strrchr(text, ')');

	return end && end[1] ? end[2] : '?';
}

/* Until the thread has come to the call that blocks it, or spins. */
static void wait_for_thread(int sleeps)
{
	while (!thread_id)
		usleep(1000);
	if (!strcmp(kind, "interrupted")) {
		usleep(20000);
		syscall(SYS_tgkill, getpid(), thread_id, SIGUSR1);
	}
	while (!arrived)
		usleep(1000);
	while (sleeps && state_of(process_id, process_id == getpid() ? thread_id : process_id) != 'S')
		usleep(1000);
}

/* A stack for the thread that is one mapping with the memory of the first thread's control block, right below it. */
static void join_stack(pthread_attr_t *attributes)
{
	unsigned long start = 0, end, own = (unsigned long)pthread_self();
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && own >= start && own < end)
			break;
	if (!maps || mmap((void *)(start - SIDE_STACK), SIDE_STACK, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)(start - SIDE_STACK) ||
	    pthread_attr_setstack(attributes, (void *)(start - SIDE_STACK), SIDE_STACK))
		exit(2);
	fclose(maps);
}

int main(int argc, char **argv)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int sleeps;

	kind = argc == 2 ? argv[1] : "";
	sleeps = strcmp(kind, "redzone") != 0 && strcmp(kind, "vdso") != 0 && strcmp(kind, "spin") != 0;
	pthread_attr_init(&attributes);
	if (!strcmp(kind, "borrowed"))
		join_stack(&attributes);
	if (pipe(nothing) || pthread_create(&thread, &attributes, run, NULL))
		return 2;
	wait_for_thread(sleeps);

	int dying = !strcmp(kind, "noreturn");
	const uint8_t *start = dying ? dies_start : held_start, *end = dying ? dies_end : held_end;

	int borrows = !strcmp(kind, "borrowed");

	printf("ready %d %d %p %p %p %p\n", process_id == getpid() && !borrows ? thread_id : process_id, process_id, (const void *)start,
	       (const void *)end, (const void *)absent_start, (const void *)absent_end);
	fflush(stdout);
	if (!strcmp(kind, "leaderless"))
		pthread_exit(NULL);
#ifdef __GLIBC__
	if (borrows)
		held(borrow);
#endif
	while (1)
		pause();
}
