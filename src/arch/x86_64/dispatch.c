/*
 * dispatch.c: the code between an entry and the version of a function that the calling thread is to run.
 *
 * A dispatcher per function decides for the whole process, as long as the selector says so; else it goes to the one lookup routine of
 * its region, which decides for the thread. What both rely on:
 *
 * - All registers are kept, the scratch ones too, and the flags: callers of local functions rely on whatever the old
 *   callee happened not to touch (-fipa-ra). The dispatcher uses mov and jrcxz, which change no flag. The lookup keeps the
 *   flags in rax: lahf has SF ZF AF PF CF (a processor with rdfsbase has it in 64-bit mode too), seto OF; arithmetic
 *   changes no others. Nothing here touches x87, MMX or vector state, nor their control words.
 * - Writes go to the 56 bytes below the stack pointer, which itself is not moved, so its alignment is the caller's affair:
 *   nothing of the program's is there: the red zone belongs to the function that is being entered, which has not begun, and
 *   the caller keeps nothing below the return address. A signal at any of the instructions builds its frame 128
 *   bytes further down, or on the alternate stack (get_sigframe() in arch/x86/kernel/signal.c of Linux), and returns
 *   here with all registers restored. The bytes are stack unless the caller had just written the last words above
 *   the guard page, where a callee that saves its registers faults too.
 * - A thread that is stopped in here is inside the function for whoever examines it: the program counter is here, and registers
 *   and those words may hold an address of any version. So it is not moved, and may finish with what it has loaded.
 *
 * The loads, in program order, and the stores that they pair with (x86-64 keeps loads in order, and each is aligned, so
 * none is torn; SDM volume 3, 9.1.1 and 9.2.2):
 *
 *	(L1) selector	<- stored last while all threads are stopped. Whoever read 0 before it became a table's address goes on to L2
 *			   to L4, where every thread is on that side by then: the same answer.
 *	(L2) fallback	<- stored while all threads are stopped, behind an entry for every thread that it is no longer right for. Loaded
 *			   *before* the probe: a thread that is in here while it changes gets an entry that says what it
 *			   has loaded, whether its probe finds that or not. The other way round it would find nothing, load the
 *			   new fallback, and run one version now and, by its entry, the other one with its next call.
 *	(L3) key	<- stored only while all threads are stopped, behind its value.
 *	(L4) version	<- stored while the thread that the key stands for is stopped, outside of here.
 *	(L5) the version's table: constant as long as anybody is led there.
 */
#include "arch/dispatch.h"
#include "arch/x86_64/x86_64.h"
#include "base/bytes.h"

/* Where the lookup expects the caller's rcx: the dispatcher has put it at -16(%rsp). rcx is 8 * index. */
bool x86_64_write_dispatcher(uint8_t *out, uint64_t at, const struct dispatch *dispatch, uint32_t index)
{
	uint8_t code[X86_64_DISPATCHER_SIZE] = {
		0x48, 0x89, 0x4c, 0x24, 0xf0,		/*  0: mov %rcx, -16(%rsp) */
		0x48, 0x8b, 0x0d, 0, 0, 0, 0,		/*  5: mov selector(%rip), %rcx		L1 */
		0xe3, 0x15,				/* 12: jrcxz 35f */
		0x48, 0x8b, 0x89, 0, 0, 0, 0,		/* 14: mov 8 * index(%rcx), %rcx	L5 */
		0x48, 0x89, 0x4c, 0x24, 0xf8,		/* 21: mov %rcx, -8(%rsp) */
		0x48, 0x8b, 0x4c, 0x24, 0xf0,		/* 26: mov -16(%rsp), %rcx */
		0xff, 0x64, 0x24, 0xf8,			/* 31: jmp *-8(%rsp) */
		0xb9, 0, 0, 0, 0,			/* 35: mov $8 * index, %ecx */
		0xe9, 0, 0, 0, 0,			/* 40: jmp lookup */
	};

	if (index > INT32_MAX / 8 || !x86_64_put_rel32(code + 8, at + 12, dispatch->selector) ||
	    !x86_64_put_rel32(code + 41, at + 45, dispatch->lookup))
		return false;
	store32(code + 17, index * 8);
	store32(code + 36, index * 8);
	memcpy(out, code, sizeof(code));
	return true;
}

/*
 * dispatch_find(), and then what the dispatcher does with the selector's value. The thread pointer is read as it is, not
 * from where a libc keeps a copy of it: %fs:0 means nothing in programs without one. An empty entry is looked
 * for first, so that no key whatever can be found in it.
 */
bool x86_64_write_lookup(uint8_t *out, const struct dispatch *dispatch)
{
	uint8_t code[X86_64_LOOKUP_SIZE] = {
		0x48, 0x89, 0x44, 0x24, 0xe8,		/*   0: mov %rax, -24(%rsp) */
		0x48, 0x89, 0x54, 0x24, 0xe0,		/*   5: mov %rdx, -32(%rsp) */
		0x48, 0x89, 0x74, 0x24, 0xd8,		/*  10: mov %rsi, -40(%rsp) */
		0x48, 0x89, 0x7c, 0x24, 0xd0,		/*  15: mov %rdi, -48(%rsp) */
		0x4c, 0x89, 0x44, 0x24, 0xc8,		/*  20: mov %r8, -56(%rsp) */
		0x4c, 0x8b, 0x05, 0, 0, 0, 0,		/*  25: mov fallback(%rip), %r8		L2 */
		0x9f,					/*  32: lahf */
		0x0f, 0x90, 0xc0,			/*  33: seto %al */
		0xf3, 0x48, 0x0f, 0xae, 0xc2,		/*  36: rdfsbase %rdx */
		0x48, 0xf7, 0xd2,			/*  41: not %rdx			dispatch_key() */
		0x48, 0xbe, 0, 0, 0, 0, 0, 0, 0, 0,	/*  44: movabs $DISPATCH_MULTIPLIER, %rsi */
		0x48, 0x0f, 0xaf, 0xf2,			/*  54: imul %rdx, %rsi			dispatch_first() */
		0x48, 0xc1, 0xee, 0,			/*  58: shr $64 - bits, %rsi */
		0xc1, 0xe6, 4,				/*  62: shl $4, %esi */
		0x48, 0x8d, 0x3d, 0, 0, 0, 0,		/*  65: lea table(%rip), %rdi */
		0x48, 0x83, 0x3c, 0x37, 0,		/*  72: cmpq $0, (%rdi, %rsi)		L3 */
		0x74, 0x11,				/*  77: je 96f */
		0x48, 0x39, 0x14, 0x37,			/*  79: cmp %rdx, (%rdi, %rsi)		L3 */
		0x74, 0x10,				/*  83: je 101f */
		0x83, 0xc6, 16,				/*  85: add $16, %esi */
		0x81, 0xe6, 0, 0, 0, 0,			/*  88: and $16 * (entries - 1), %esi */
		0xeb, 0xe8,				/*  94: jmp 72b */
		0x4c, 0x89, 0xc6,			/*  96: mov %r8, %rsi */
		0xeb, 0x05,				/*  99: jmp 106f */
		0x48, 0x8b, 0x74, 0x37, 8,		/* 101: mov 8(%rdi, %rsi), %rsi		L4 */
		0x48, 0x8b, 0x0c, 0x0e,			/* 106: mov (%rsi, %rcx), %rcx		L5 */
		0x48, 0x89, 0x4c, 0x24, 0xf8,		/* 110: mov %rcx, -8(%rsp) */
		0x04, 0x7f,				/* 115: add $127, %al: overflows if al is 1 */
		0x9e,					/* 117: sahf: leaves OF alone */
		0x4c, 0x8b, 0x44, 0x24, 0xc8,		/* 118: mov -56(%rsp), %r8 */
		0x48, 0x8b, 0x7c, 0x24, 0xd0,		/* 123: mov -48(%rsp), %rdi */
		0x48, 0x8b, 0x74, 0x24, 0xd8,		/* 128: mov -40(%rsp), %rsi */
		0x48, 0x8b, 0x54, 0x24, 0xe0,		/* 133: mov -32(%rsp), %rdx */
		0x48, 0x8b, 0x44, 0x24, 0xe8,		/* 138: mov -24(%rsp), %rax */
		0x48, 0x8b, 0x4c, 0x24, 0xf0,		/* 143: mov -16(%rsp), %rcx */
		0xff, 0x64, 0x24, 0xf8,			/* 148: jmp *-8(%rsp) */
	};

	_Static_assert(sizeof(struct dispatch_entry) == 16 && offsetof(struct dispatch_entry, version) == 8, "as above");
	_Static_assert((16u << DISPATCH_BITS_MAX) <= INT32_MAX, "offsets in the table fit 32 bits");
	if (dispatch->table_bits < DISPATCH_BITS_MIN || dispatch->table_bits > DISPATCH_BITS_MAX ||
	    !x86_64_put_rel32(code + 68, dispatch->lookup + 72, dispatch->table) ||
	    !x86_64_put_rel32(code + 28, dispatch->lookup + 32, dispatch->fallback))
		return false;
	store64(code + 46, DISPATCH_MULTIPLIER);
	code[61] = (uint8_t)(64 - dispatch->table_bits);
	store32(code + 90, ((1u << dispatch->table_bits) - 1) * 16);
	memcpy(out, code, sizeof(code));
	return true;
}
