/*
 * victim_odd.h: what a victim does to itself, so that it is like processes that production has: "nodump" (PR_SET_DUMPABLE), "nobody" (another
 * user, without capabilities), "filtered" (a seccomp filter kills it when it maps or protects memory), "limited" (RLIMIT_AS leaves no room),
 * "mapped" (10,000 mappings), "huge" (its text is copied into huge pages), "twice" (its file is mapped a second time),
 * "crowd" (1,000 more threads), "quiet" (all signals blocked that can be).
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <link.h>
#include <stddef.h>
#include <sys/resource.h>
#include <grp.h>

static void filter_calls(void)
{
	static const int forbidden[] = { SYS_mmap, SYS_mprotect, SYS_munmap, SYS_mremap, SYS_memfd_create, SYS_rt_sigaction };
	enum { COUNT = sizeof(forbidden) / sizeof(forbidden[0]) };
	struct sock_filter filter[COUNT + 3];
	struct sock_fprog program = { COUNT + 3, filter };

	filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < COUNT; i++)
		filter[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (__u32)forbidden[i], (__u8)(COUNT - i), 0);
	filter[COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
		exit(77);
}

static void limit_memory(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;
	struct rlimit limit;

	if (!file || fscanf(file, "%lu", &pages) != 1)
		exit(2);
	fclose(file);
	limit.rlim_cur = limit.rlim_max = pages * 4096;
	if (setrlimit(RLIMIT_AS, &limit))
		exit(2);
}

static void map_much(void)
{
	char *all = mmap(NULL, 10000 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (all == MAP_FAILED)
		exit(2);
	for (int i = 0; i < 10000; i += 2)
		if (mprotect(all + i * 4096, 4096, PROT_READ | PROT_WRITE))
			exit(2);
}

/* As programs do that want their text in huge pages: it becomes memory of no file, at the same place. */
static int use_huge_text(struct dl_phdr_info *info, size_t size, void *unused)
{
	(void)size;
	(void)unused;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		unsigned long start = (info->dlpi_addr + header->p_vaddr) & -4096ul;
		unsigned long length = ((info->dlpi_addr + header->p_vaddr + header->p_memsz + 4095) & -4096ul) - start;
		void *copy;

		if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
			continue;
		copy = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (copy == MAP_FAILED)
			exit(2);
		memcpy(copy, (void *)start, length);
		madvise(copy, length, MADV_HUGEPAGE);
		mprotect(copy, length, PROT_READ | PROT_EXEC);
		if (mremap(copy, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start) == MAP_FAILED)
			exit(2);
	}
	return 1;	/* the program is the first */
}

static void map_twice(void)
{
	FILE *file = fopen("/proc/self/exe", "r");

	if (!file || mmap(NULL, 16384, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(file), 0) == MAP_FAILED)
		exit(2);
}

static void *sleep_on(void *unused)
{
	while (1)
		pause();
	return unused;
}

static void crowd_threads(void)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	for (int i = 0; i < 1000; i++)
		if (pthread_create(&thread, &attributes, sleep_on, NULL))
			exit(2);
}

static void become_nobody(void)
{
	if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		exit(77);
}

static void block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static int be_odd(const char *word)
{
	if (!strcmp(word, "nodump"))
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	else if (!strcmp(word, "nobody"))
		become_nobody();
	else if (!strcmp(word, "filtered"))
		filter_calls();
	else if (!strcmp(word, "limited"))
		limit_memory();
	else if (!strcmp(word, "mapped"))
		map_much();
	else if (!strcmp(word, "huge"))
		dl_iterate_phdr(use_huge_text, NULL);
	else if (!strcmp(word, "twice"))
		map_twice();
	else if (!strcmp(word, "crowd"))
		crowd_threads();
	else if (!strcmp(word, "quiet"))
		block_signals();
	else
		return 0;
	return 1;
}
