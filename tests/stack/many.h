/* many.h: for many.c and the library that it calls through. */
#ifndef TESTS_STACK_MANY_H
#define TESTS_STACK_MANY_H

#define FRAME __attribute__((noinline, noclone))
#define KEEP_FRAME() __asm__ volatile("")	/* behind a call: it is not made a jump */

/* Call it, by one of three functions with different frames: `how` is 0 to 2. */
void library_call(void (*function)(void), unsigned int how);

#endif
