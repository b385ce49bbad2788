/*
 * stack.h: the registers that a frame is made of, by DWARF number (x86-64 psABI, figure 3.36).
 */
#ifndef STENT_UNWIND_STACK_H
#define STENT_UNWIND_STACK_H

enum {
	REGISTER_FRAME_POINTER = 6,	/* rbp */
	REGISTER_STACK_POINTER = 7,	/* rsp */
	REGISTER_RETURN_ADDRESS = 16,	/* in a frame's own registers: its pc */
};

#endif
