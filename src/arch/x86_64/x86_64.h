/*
 * x86_64.h: what the files of this directory share. Only arch_x86_64 is seen from outside.
 */
#ifndef STENT_ARCH_X86_64_X86_64_H
#define STENT_ARCH_X86_64_X86_64_H

#include <Zydis/Zydis.h>

#include "arch/arch.h"

#define X86_64_INSN_MAX 15	/* Intel SDM volume 2, 2.3.11 */
#define X86_64_JUMP_SIZE 5	/* e9 rel32 */
#define X86_64_FAR_JUMP_SIZE 14	/* ff 25 disp32, and the address */
#define X86_64_DISPATCHER_SIZE 60 /* see dispatch.c */
#define X86_64_LOOKUP_SIZE 92
#define X86_64_FINDER_SIZE 68	/* see finder.c */
#define X86_64_TRAP 0xcc	/* int3 */

/* What rel32 bridges, less a megabyte: the contract measures between whole objects, and the ends of
 * instructions and operands lie a little further apart. */
#define X86_64_REACH ((UINT64_C(1) << 31) - (UINT64_C(1) << 20))

/* The decoder for 64-bit code, with the instruction set extensions that Zydis turns on by default. */
extern const ZydisDecoder x86_64_decoder;

/* Its enum insn_kind; the operands as Zydis gives them. */
enum insn_kind x86_64_classify(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand);

/* See struct arch for all of these. */
bool x86_64_decode(const uint8_t *code, size_t size, uint64_t address, struct insn *out);
size_t x86_64_plain(const uint8_t *code, size_t size);
uint64_t x86_64_form(const uint8_t *code, size_t size);
bool x86_64_print(const uint8_t *code, size_t size, uint64_t address, char *out, size_t room);
const char *x86_64_plan_entry(const uint8_t *code, size_t size, size_t padding, struct entry_plan *plan);
const char *x86_64_copy_entry(const uint8_t *code, const struct entry_plan *plan, uint64_t from, uint64_t to,
			      struct entry_copy *copy);
bool x86_64_write_jump(uint8_t *out, size_t size, uint64_t at, uint64_t to);
void x86_64_write_far_jump(uint8_t *out, uint64_t to);
bool x86_64_write_dispatcher(uint8_t *out, uint64_t at, const struct dispatch *dispatch, uint64_t old, uint64_t new);
bool x86_64_write_lookup(uint8_t *out, const struct dispatch *dispatch);
bool x86_64_write_finder(uint8_t *out, uint64_t at, const struct finder *finder);
bool x86_64_effect(const uint8_t *code, size_t size, uint64_t address, struct insn_effect *out);
bool x86_64_is_signal_return(const uint8_t *code, size_t size);
size_t x86_64_thread_end(const uint8_t *code, size_t size);
bool x86_64_ends_with_call(const uint8_t *end, size_t size);
enum fate x86_64_follow_address(const uint8_t *code, size_t size, enum own_address own, struct held *held);
enum reloc_kind x86_64_relocation(uint32_t type);
enum link_kind x86_64_link_relocation(uint32_t type);

/* Write at `field` the 4-byte distance from `next`, where the instruction ends, to `target`; false, and
 * nothing written, when it does not fit. */
bool x86_64_put_rel32(uint8_t *field, uint64_t next, uint64_t target) must_check;

#endif
