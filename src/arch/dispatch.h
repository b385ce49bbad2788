/*
 * dispatch.h: the table that says which version of a patch each thread runs, as dispatchers read it (struct arch,
 * write_lookup) and stent fills it.
 *
 * Open addressing with linear probing, a power of two of entries. A key is put in only while all threads are stopped and is never
 * taken out; a version is stored with one aligned write while the thread that it is for is stopped. At least one
 * entry stays empty, so that every probe ends.
 */
#ifndef STENT_ARCH_DISPATCH_H
#define STENT_ARCH_DISPATCH_H

#include <stddef.h>
#include <stdint.h>

struct dispatch_entry {
	uint64_t key;		/* dispatch_key() of a thread pointer; 0: empty */
	uint64_t version;	/* address of a version table: of 8-byte addresses, one per function */
};

/* There are two version tables. So many bytes before each stands a word that says which it is: 0 the old version's, any other the new one's. */
#define DISPATCH_MARK 8

/* Number of entries: 1 << bits. */
#define DISPATCH_BITS_MIN 6
#define DISPATCH_BITS_MAX 20

/*
 * Thread pointers are equally spaced: stacks are mapped one behind the other. A multiplier spreads such keys if its product with
 * the distance isn't close to a simple fraction of 2^64. This one (2^64 divided by the root of x^4 = x + 1) did best of
 * nine well-known ones with 22 distances from 64 bytes to 4 GiB: at a quarter full 1.2 steps on average at worst, where
 * 2^64 divided by the golden ratio takes 3.4.
 */
#define DISPATCH_MULTIPLIER UINT64_C(0xd1b54a32d192ed03)

/*
 * A thread pointer of 0 is possible (a program without a libc), so the key is not the pointer itself. All bits set is none that
 * a thread can have: it is an address of the kernel, which neither arch_prctl nor PTRACE_SETREGSET accepts; a
 * thread that gives it to itself (wrfsbase) goes by the fallback.
 */
static inline uint64_t dispatch_key(uint64_t thread_pointer)
{
	return ~thread_pointer;
}

/* The entry where the search for a key begins. */
static inline size_t dispatch_first(uint64_t key, unsigned int bits)
{
	return (size_t)(key * DISPATCH_MULTIPLIER >> (64 - bits));
}

/* The entry of a key, or the empty one that it would go into. The table must have an empty entry. */
static inline size_t dispatch_find(const struct dispatch_entry *table, unsigned int bits, uint64_t key)
{
	size_t mask = ((size_t)1 << bits) - 1, i = dispatch_first(key, bits);

	while (table[i].key && table[i].key != key)
		i = (i + 1) & mask;
	return i;
}

#endif
