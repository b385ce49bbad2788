/*
 * frame.h: the registers that call frames are made of, as unwind data numbers them.
 *
 * Unwinding is for images of the machine that stent runs on, so these are plain facts, as in registers.h, once per instruction set
 * (src/arch/ARCH/frame.c); here for x86-64, by the DWARF numbers of its psABI, figure 3.36.
 */
#ifndef STENT_ARCH_FRAME_H
#define STENT_ARCH_FRAME_H

#include <stdint.h>

enum {
	REGISTER_FRAME_POINTER = 6,	/* rbp */
	REGISTER_STACK_POINTER = 7,	/* rsp */
	REGISTER_RETURN_ADDRESS = 16,	/* in a frame's own registers: its pc */
};

/* All registers that a frame has, the return address included: 0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp, 7 rsp, 8-15 r8-r15. */
#define FRAME_ALL_REGISTERS 17

/* Those that a function gives back to its caller, but for the stack pointer: rbx, rbp, r12 to r15. All others are lost in a call. */
#define FRAME_SAVED 6
#define FRAME_SAVED_FRAME_POINTER 1	/* index of rbp */
extern const uint8_t frame_saved_register[FRAME_SAVED];
extern const uint8_t frame_saved_index[FRAME_ALL_REGISTERS];	/* the other way round; FRAME_SAVED for all others */

/* As bits: those, and the stack pointer; those that carry nothing over a call, arguments and results; those that arguments may come in. */
#define FRAME_KEPT UINT32_C(0xf0c8)
#define FRAME_LOST UINT32_C(0x0f37)

/* As bits: those that a result comes in. */
#define FRAME_RESULTS UINT32_C(0x3)

/* Bytes below the stack pointer that no signal handler overwrites (psABI 3.2.2). */
#define FRAME_RED_ZONE 128

/* Names for people, by number; the last is that of the return address. */
extern const char *const frame_register_name[FRAME_ALL_REGISTERS];

/* Byte offset of each register, by number, from the start of the kernel's struct sigcontext (arch/x86/include/uapi/asm/sigcontext.h).
 * That of the return address is the program counter. */
extern const uint8_t frame_signal_slot[FRAME_ALL_REGISTERS];

#endif
