/* many_library.c: frames in a shared library. */
#include "many.h"

#include <alloca.h>
#include <string.h>

FRAME static void with_alloca(void (*function)(void), unsigned int size)
{
	char *memory = alloca(size);

	memset(memory, 0, size);
	__asm__ volatile("" : : "r"(memory) : "memory");
	function();
	KEEP_FRAME();
}

FRAME static void with_alignment(void (*function)(void))
{
	char memory[96] __attribute__((aligned(32)));

	__asm__ volatile("" : : "r"(memory) : "memory");
	function();
	__asm__ volatile("" : : "r"(memory) : "memory");
}

/* All registers that a call preserves are in use. */
FRAME static void with_registers(void (*function)(void))
{
	function();
	__asm__ volatile("" : : : "rbx", "r12", "r13", "r14", "r15");
}

void library_call(void (*function)(void), unsigned int how)
{
	if (how == 0)
		with_alloca(function, 500);
	else if (how == 1)
		with_alignment(function);
	else
		with_registers(function);
	KEEP_FRAME();
}
