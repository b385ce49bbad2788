#include "arch/frame.h"

const uint8_t frame_saved_register[FRAME_SAVED] = { 3, 6, 12, 13, 14, 15 };
const uint8_t frame_saved_index[FRAME_ALL_REGISTERS] = { 6, 6, 6, 0, 6, 6, 1, 6, 6, 6, 6, 6, 2, 3, 4, 5, 6 };

const char *const frame_register_name[FRAME_ALL_REGISTERS] = {
	"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "return address",
};

const uint8_t frame_signal_slot[FRAME_ALL_REGISTERS] = {
	[8] = 0, [9] = 8, [10] = 16, [11] = 24, [12] = 32, [13] = 40, [14] = 48, [15] = 56,	/* r8 to r15 */
	[5] = 64, [4] = 72, [6] = 80, [3] = 88, [1] = 96, [0] = 104, [2] = 112,	/* rdi rsi rbp rbx rdx rax rcx */
	[7] = 120, [16] = 128,	/* rsp, rip */
};
