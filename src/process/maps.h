/* maps.h: the mappings of a process, from /proc/PID/maps. */
#ifndef STENT_PROCESS_MAPS_H
#define STENT_PROCESS_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "process/process.h"

struct mapping {
	struct range range;
	bool read, write, execute, shared;
	uint64_t offset;	/* in the file */
	uint64_t device, inode;	/* of the file; inode 0: not a file */
	const char *name;	/* as the kernel writes it, "" when there is none: for messages, and for the kernel's own
				 * names in brackets (with inode 0), which no file can take */
};

struct maps {
	struct mapping *item;	/* sorted by address, not overlapping */
	size_t count, room;
	char *text;		/* owned: names are in it */
	struct maps_query *query;	/* owned; not NULL: see maps_look() */
};

/* STATUS_ERROR: the process is gone, or the text is not what proc(5) says. Free with maps_free(), always. */
enum status maps_read(const struct process *process, struct maps *maps, struct error *error) must_check;
void maps_free(struct maps *maps);

/*
 * As maps_read(), for who asks maps_find() for a few addresses while the process is stopped. Where the kernel can be asked for a single
 * mapping, nothing is read before, item[] stays empty, and what the functions below return is valid until the next call of one.
 */
enum status maps_look(const struct process *process, struct maps *maps, struct error *error) must_check;

/* Parse the text, which is allocated, and belongs to *maps (zeroed before) from now on. False at the first line that is no mapping or
 * is out of order. */
bool maps_parse(char *text, struct maps *maps) must_check;

/* The mapping that holds the address, or NULL. */
const struct mapping *maps_find(const struct maps *maps, uint64_t address);

/* The first executable mapping of a file that ends behind the address, or NULL. */
const struct mapping *maps_next_code(const struct maps *maps, uint64_t address);

/* Private, not of a file, and without a name of the kernel's. */
bool mapping_anonymous(const struct mapping *mapping);

/* Of a file in /dev: a device's, which may not be readable, or a file's in /dev/shm. */
bool mapping_of_device(const struct mapping *mapping);

/* The kernel's name "[stack]", "[heap]", "[vdso]". */
bool mapping_special(const struct mapping *mapping, const char *name);

#endif
