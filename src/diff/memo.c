#include <stdlib.h>

#include "diff/comparison.h"

static size_t slot_of(const struct memo *memo, uint64_t key)
{
	size_t slot = (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (memo->room - 1);

	while (memo->key[slot] && memo->key[slot] != key)
		slot = (slot + 1) & (memo->room - 1);
	return slot;
}

static void grow(struct memo *memo)
{
	struct memo larger = { .room = memo->room ? memo->room * 2 : 1024 };

	larger.key = memory_zeroed(larger.room, sizeof(*larger.key));
	larger.value = memory_zeroed(larger.room, sizeof(*larger.value));
	for (size_t i = 0; i < memo->room; i++)
		if (memo->key[i])
			*memo_entry(&larger, memo->key[i]) = memo->value[i];
	memo_free(memo);
	*memo = larger;
}

uint8_t *memo_entry(struct memo *memo, uint64_t key)
{
	if (memo->count * 2 >= memo->room)
		grow(memo);

	size_t slot = slot_of(memo, key);

	if (!memo->key[slot]) {
		memo->key[slot] = key;
		memo->count++;
	}
	return &memo->value[slot];
}

void memo_free(struct memo *memo)
{
	free(memo->key);
	free(memo->value);
	*memo = (struct memo){ 0 };
}
