/* memo.c: decode an instruction, by way of Zydis or from memory. */
#include "arch/x86_64/memo.h"

#include <sys/mman.h>

#include "base/bytes.h"
#include "base/memory.h"

#define SLOT_BITS 16
#define SHAPE_BITS 16
#define SLOTS (1u << SLOT_BITS)

/* An instruction's bytes without its field and what follows, and its shape, which says which bytes those are. */
struct memo_key {
	uint64_t low, high;
	uint16_t shape;		/* 0: none */
};

/* All but the last are in one cache line, and that is in the next one, which processors fetch along. */
struct memo_slot {
	_Alignas(128) struct memo_key key;
	bool moves;		/* the field is a displacement, and the effect's `offset` is what it says */
	struct insn_effect effect;
	struct insn insn;
};

/* The bytes that count of an instruction of some shape. */
struct memo_mask {
	uint64_t low, high;
};

#define SHAPES (13u << 8)	/* see make_shape(): no field is larger than 4 bytes */

/* The slot behind the others is for an instruction that can't be kept. */
struct memo {
	uint8_t telling[1u << 16];	/* by the first two bytes behind a REX: so many bytes from there tell the shape, as far as is
					 * known; 0: not known */
	uint16_t shape[1u << SHAPE_BITS];	/* by those bytes: of the last instruction met, or 0 */
	uint8_t plain[2u << 16];	/* by whether there is a REX and the two bytes behind it: see note_plain(); 0: not plain, or not met */
	struct memo_mask mask[SHAPES];	/* by shape, of those that were met */
	struct memo_slot slot[SLOTS + 1];
};

/* One per thread, for as long as the program runs. Not thread-local itself: the loader would write to all of it at every start,
 * and mostly only little of it is used, or nothing. */
static _Thread_local struct memo *memo;

/* It is read all over, and a page for each of its parts is more than the processor keeps at hand: in one that is huge, if there is one. */
#define HUGE (2ul << 20)

static void open_memo(void)
{
	uintptr_t room = (uintptr_t)memory_zeroed(1, sizeof(*memo) + HUGE);

	memo = (struct memo *)((room + HUGE - 1) / HUGE * HUGE);
	(void)madvise(memo, sizeof(*memo), MADV_HUGEPAGE);
}

/* What is read of an instruction at once: two words of key, and four bytes from any byte of it on. */
#define READ_BYTES 20

/*
 * An instruction may have one field that does not count, and whose value is put in anew each time: the distance of what it refers to
 * from itself, or the displacement from a register. Bits 0-3 the length, 4-7 the offset of that field, 8-10 its size, 11 set for a
 * displacement.
 */
#define SHAPE_DISPLACEMENT 0x800u

static uint16_t make_shape(unsigned int length, unsigned int field, unsigned int size)
{
	return (uint16_t)(length | field << 4 | size << 8);
}

static unsigned int shape_length(uint16_t shape)
{
	return shape & 0xf;
}

static unsigned int shape_field(uint16_t shape)
{
	return shape >> 4 & 0xf;
}

static unsigned int shape_field_size(uint16_t shape)
{
	return shape >> 8 & 7;
}

static struct memo_mask make_mask(uint16_t shape)
{
	const unsigned __int128 one = 1;
	unsigned __int128 field = ((one << 8 * shape_field_size(shape)) - 1) << 8 * shape_field(shape);
	unsigned __int128 mask = ((one << 8 * shape_length(shape)) - 1) & ~field;

	return (struct memo_mask){ (uint64_t)mask, (uint64_t)(mask >> 64) };
}

/* Without a branch: which way it went would be anybody's guess. */
static inline struct memo_key make_key(const uint8_t *code, uint16_t shape)
{
	struct memo_mask mask = memo->mask[shape];

	return (struct memo_key){ load64(code) & mask.low, load64(code + 8) & mask.high, shape };
}

static uint32_t hash(uint64_t low, uint64_t high, unsigned int bits)
{
	return (uint32_t)((low * UINT64_C(0x9e3779b97f4a7c15) + high * UINT64_C(0xc2b2ae3d27d4eb4f)) >> (64 - bits));
}

/* Bytes of a REX prefix that the instruction begins with. */
static inline unsigned int rex_size(const uint8_t *code)
{
	return (code[0] & 0xf0) == 0x40;
}

static inline unsigned int telling_index(const uint8_t *code, unsigned int rex)
{
	return (unsigned int)code[rex] << 8 | code[rex + 1];
}

#define TELLING_MAX 7	/* with a REX, what one word can hold */

static uint32_t shape_index(const uint8_t *code, unsigned int telling)
{
	return hash(load64(code) & UINT64_MAX >> (64 - 8 * telling), 0, SHAPE_BITS);
}

/* Slot of the instruction that the bytes begin with (READ_BYTES can be read, `size` are its own) and its shape, or NULL when
 * it is not there. */
static inline const struct memo_slot *find(const uint8_t *code, size_t size, uint16_t *shape)
{
	unsigned int rex = rex_size(code), telling = memo->telling[telling_index(code, rex)];
	const struct memo_slot *slot;
	struct memo_key key;

	if (!telling)
		return NULL;
	*shape = memo->shape[shape_index(code, rex + telling)];
	if (!*shape || shape_length(*shape) > size)
		return NULL;
	key = make_key(code, *shape);
	slot = &memo->slot[hash(key.low, key.high, SLOT_BITS)];
	return ((slot->key.low ^ key.low) | (slot->key.high ^ key.high) | (slot->key.shape ^ key.shape)) == 0 ? slot : NULL;
}

/* One byte of opcode, with no prefix but REX: then what tells the shape is known exactly (note_telling()). */
static bool is_simple(const uint8_t *code, const ZydisDecodedInstruction *insn)
{
	return insn->attributes & ZYDIS_ATTRIB_HAS_MODRM && insn->raw.modrm.offset == rex_size(code) + 1u;
}

/*
 * Does what is said of the instruction depend on its displacement only as x86_64_decode() and x86_64_effect() put it in? Not where a
 * small or absolute address is something special, nor with an index, where a displacement of zero is, nor in a jump, which may be through a table.
 */
static bool has_plain_displacement(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	return operand->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && operand->mem.base >= ZYDIS_REGISTER_RAX &&
	       operand->mem.base <= ZYDIS_REGISTER_R15 && operand->mem.index == ZYDIS_REGISTER_NONE && insn->raw.disp.size &&
	       insn->mnemonic != ZYDIS_MNEMONIC_JMP;
}

/* 0 when what it refers to depends on its address in another way. */
static uint16_t find_shape(const uint8_t *code, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	uint16_t shape = make_shape(insn->length, 0, 0);

	if (insn->raw.imm[0].is_relative)
		shape = make_shape(insn->length, insn->raw.imm[0].offset, insn->raw.imm[0].size / 8);
	for (unsigned int i = 0; i < insn->operand_count; i++) {
		if (operand[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		if (operand[i].mem.base == ZYDIS_REGISTER_EIP)
			return 0;
		if (operand[i].mem.base == ZYDIS_REGISTER_RIP)
			shape = make_shape(insn->length, insn->raw.disp.offset, insn->raw.disp.size / 8);
		else if (is_simple(code, insn) && has_plain_displacement(insn, &operand[i]))
			shape = make_shape(insn->length, insn->raw.disp.offset, insn->raw.disp.size / 8) | SHAPE_DISPLACEMENT;
	}
	return shape_field_size(shape) == 0 || shape_field_size(shape) == 1 || shape_field_size(shape) == 4 ? shape : 0;
}

/* Is the effect's offset the displacement, where there is one? That of a comparison, for one, is not. */
static bool moves_with_displacement(const struct insn_effect *effect)
{
	switch (effect->kind) {
	case EFFECT_LOAD:
		return effect->source != NO_REGISTER;
	case EFFECT_STORE:
		return effect->target != NO_REGISTER;
	case EFFECT_SPOIL:
	case EFFECT_MOVE:
		return true;
	default:
		return false;
	}
}

/* Prefixes, opcode, modrm and SIB tell the length. Where there is more than one byte of opcode the SIB is left out: most that have
 * the same first two bytes have none. If that is not enough, no harm is done: what is found is compared with all bytes. */
static unsigned int note_telling(const uint8_t *code, const ZydisDecodedInstruction *insn)
{
	unsigned int rex = rex_size(code), index = telling_index(code, rex), count = insn->length;

	if (is_simple(code, insn) && insn->attributes & ZYDIS_ATTRIB_HAS_SIB)
		count = insn->raw.sib.offset + 1u;
	else if (insn->attributes & ZYDIS_ATTRIB_HAS_MODRM)
		count = insn->raw.modrm.offset + 1u;
	else if (insn->raw.disp.size)
		count = insn->raw.disp.offset;
	else if (insn->raw.imm[0].size)
		count = insn->raw.imm[0].offset;
	count -= rex;
	if (count > TELLING_MAX)
		count = TELLING_MAX;
	if (count == 1)
		memset(&memo->telling[index & 0xff00], 1, 256);
	else if (memo->telling[index] < count)
		memo->telling[index] = (uint8_t)count;
	return rex + memo->telling[index];
}

#define PLAIN_LENGTH 0xf
#define PLAIN_UNLESS_BASE 0x10	/* not if the base in the SIB is 5, which stands for four bytes of displacement (Intel SDM volume 2, table 2-3) */

/* The one-byte opcodes with a modrm byte that compilers write and that any REX leaves what they are: arithmetic, movslq, test, mov, lea,
 * shifts, and the groups of not, neg, mul, div, inc, dec and push. */
static bool is_common(uint8_t opcode)
{
	return (opcode < 0x40 && (opcode & 7) < 4) || opcode == 0x63 || opcode == 0x80 || opcode == 0x83 || opcode == 0x84 ||
	       opcode == 0x85 || (opcode >= 0x88 && opcode <= 0x8b) || opcode == 0x8d || opcode == 0xc0 || opcode == 0xc1 ||
	       (opcode >= 0xd0 && opcode <= 0xd3) || opcode == 0xf6 || opcode == 0xf7 || opcode == 0xfe || opcode == 0xff;
}

/* Of a register: the opcode is all of it. */
static bool is_push_or_pop(uint8_t opcode)
{
	return (opcode & 0xf0) == 0x50;
}

/*
 * For x86_64_plain(). Whether there is a REX, the opcode and the modrm byte tell how long such an instruction is (Intel SDM volume 2, 2.1 and
 * 2.2.1), but for the one case of a SIB; that it is no branch, as those are in opcode ff by the modrm byte's middle; and that
 * it refers to nothing, which takes four bytes of displacement or of number.
 */
static void note_plain(const uint8_t *code, const ZydisDecodedInstruction *insn, const struct insn *described)
{
	unsigned int rex = rex_size(code);

	if (is_push_or_pop(code[rex]))
		memset(&memo->plain[rex << 16 | code[rex] << 8], (int)rex + 1, 256);
	if (!is_simple(code, insn) || !is_common(code[rex]) || described->ref[0].kind != REF_NONE || described->kind != INSN_OTHER)
		return;
	memo->plain[rex << 16 | telling_index(code, rex)] =
		(uint8_t)(insn->length | (insn->attributes & ZYDIS_ATTRIB_HAS_SIB && insn->raw.modrm.mod == 0 ? PLAIN_UNLESS_BASE : 0));
}

/* The slot that an instruction which was decoded has from now on, in the place of another. */
static struct memo_slot *choose_slot(const uint8_t *code, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
	uint16_t shape = find_shape(code, insn, operand);
	struct memo_slot *slot;
	struct memo_key key;

	if (!shape)
		return &memo->slot[SLOTS];
	memo->shape[shape_index(code, note_telling(code, insn))] = shape;
	memo->mask[shape] = make_mask(shape);
	key = make_key(code, shape);
	slot = &memo->slot[hash(key.low, key.high, SLOT_BITS)];
	slot->key = key;
	return slot;
}

/* Decode, and keep what is said. */
static __attribute__((noinline)) const struct memo_slot *learn(const uint8_t *code, const uint8_t *readable, size_t size,
							       uint64_t address)
{
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecoderContext context;
	struct memo_slot *slot;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&x86_64_decoder, &context, code, size, &insn)) ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeOperands(&x86_64_decoder, &context, &insn, operand, insn.operand_count)))
		return NULL;
	slot = choose_slot(readable, &insn, operand);
	x86_64_describe(&insn, operand, address, &slot->insn);
	note_plain(readable, &insn, &slot->insn);
	x86_64_describe_effect(&insn, operand, address, &slot->effect);
	slot->moves = slot->key.shape & SHAPE_DISPLACEMENT && moves_with_displacement(&slot->effect);
	return slot;
}

/* What is known of some bytes. */
struct recalled {
	const struct memo_slot *slot;	/* NULL: they are no instruction */
	uint16_t shape;			/* 0: the slot is the one behind the others */
	int64_t field;			/* what the field of the shape says, if it has one */
};

static inline __attribute__((always_inline)) struct recalled recall(const uint8_t *code, size_t size, uint64_t address)
{
	uint8_t copy[READ_BYTES] = { 0 };
	const uint8_t *readable = code;
	struct recalled out;
	unsigned int unused;

	if (!memo)
		open_memo();
	/* At the end of a function; there is one every few hundred bytes. */
	if (size < READ_BYTES)
		readable = memcpy(copy, code, size);
	out.slot = find(readable, size, &out.shape);
	if (!out.slot) {
		out.slot = learn(code, readable, size, address);
		out.shape = out.slot ? out.slot->key.shape : 0;
	}
	/* Without a branch, and without a use where there is no field. */
	unused = (64 - 8 * shape_field_size(out.shape)) % 64;
	out.field = (int64_t)((uint64_t)load32(readable + shape_field(out.shape)) << unused) >> unused;
	return out;
}

static inline void put_target(const struct recalled *recalled, uint64_t address, struct insn_ref *ref)
{
	uint16_t shape = recalled->shape;
	bool displaced = (shape & SHAPE_DISPLACEMENT) != 0, at_field = ref->offset == shape_field(shape);

	if (shape_field_size(shape) && ref->kind != REF_NONE && (displaced ? at_field : ref->kind != REF_ABSOLUTE))
		ref->target = (uint64_t)recalled->field + (displaced ? 0 : address + shape_length(shape));
}

/*
 * Both take the length from the shape, which is the same but known earlier: the processor goes on to the next instruction
 * while it waits for the slot.
 */
bool x86_64_decode(const uint8_t *code, size_t size, uint64_t address, struct insn *out)
{
	struct recalled recalled = recall(code, size, address);

	if (!recalled.slot)
		return false;
	*out = recalled.slot->insn;
	if (!recalled.shape)
		return true;
	out->length = (uint8_t)shape_length(recalled.shape);
	put_target(&recalled, address, &out->ref[0]);
	put_target(&recalled, address, &out->ref[1]);
	return true;
}

size_t x86_64_plain(const uint8_t *code, size_t size)
{
	unsigned int rex, found;

	if (!memo || size < READ_BYTES)
		return 0;
	rex = rex_size(code);
	found = memo->plain[rex << 16 | telling_index(code, rex)];
	if (found & PLAIN_UNLESS_BASE && (code[rex + 2] & 7) == 5)
		return 0;
	return found & PLAIN_LENGTH;
}

bool x86_64_effect(const uint8_t *code, size_t size, uint64_t address, struct insn_effect *out)
{
	struct recalled recalled = recall(code, size, address);

	if (!recalled.slot)
		return false;
	*out = recalled.slot->effect;
	if (!recalled.shape)
		return true;
	out->length = (uint8_t)shape_length(recalled.shape);
	/* What refers has a relative field. */
	out->address = out->refers ? address + out->length + (uint64_t)recalled.field : out->address;
	out->offset = recalled.slot->moves ? (int32_t)recalled.field : out->offset;
	return true;
}
