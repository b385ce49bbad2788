#include "arch/arch.h"

const struct arch *arch_by_machine(uint16_t machine)
{
	return machine == arch_x86_64.machine ? &arch_x86_64 : NULL;
}
