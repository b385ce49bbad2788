/*
 * package_example.h: Debian packages made byte by byte, the bad ones too: ar(5) of tar(5) without compression.
 */
#ifndef STENT_TESTS_PACKAGE_EXAMPLE_H
#define STENT_TESTS_PACKAGE_EXAMPLE_H

#include <ar.h>
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <tar.h>

#include "base/buffer.h"

/* The smallest bytes that look like a shared object, and can be told apart by `mark`. */
struct example_elf {
	Elf64_Ehdr header;
	char mark[64];
};

static inline struct example_elf example_elf(const char *mark)
{
	struct example_elf elf = { .header = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB },
					       .e_type = ET_DYN, .e_machine = EM_X86_64 } };

	snprintf(elf.mark, sizeof(elf.mark), "%s", mark);
	return elf;
}

/* POSIX ustar header: name 100, mode 8, uid 8, gid 8, size 12, mtime 12, checksum 8, type 1, link 100, magic 6, version 2. */
static inline void example_tar_entry(struct buffer *tar, const char *name, char type, const char *link, const void *bytes,
				     size_t size, unsigned long long claimed)
{
	static const char zeroes[512];
	char header[512] = { 0 }, octal[24];
	unsigned int sum = 0;

	snprintf(header, 100, "%s", name);
	snprintf(header + 100, 8, "%07o", 0644);
	snprintf(header + 108, 8, "%07o", 0);
	snprintf(header + 116, 8, "%07o", 0);
	snprintf(octal, sizeof(octal), "%011llo", claimed);
	memcpy(header + 124, octal, 12);
	snprintf(header + 136, 12, "%011o", 0);
	memset(header + 148, ' ', 8);
	header[156] = type;
	snprintf(header + 157, 100, "%s", link);
	memcpy(header + 257, TMAGIC, TMAGLEN);
	memcpy(header + 263, TVERSION, TVERSLEN);
	for (size_t i = 0; i < sizeof(header); i++)
		sum += (unsigned char)header[i];
	snprintf(header + 148, 8, "%06o", sum);
	buffer_append(tar, header, sizeof(header));
	buffer_append(tar, bytes, size);
	buffer_append(tar, zeroes, -size % 512);
}

static inline void example_tar_file(struct buffer *tar, const char *name, const void *bytes, size_t size)
{
	example_tar_entry(tar, name, REGTYPE, "", bytes, size, size);
}

static inline void example_tar_elf(struct buffer *tar, const char *name, const char *mark)
{
	const struct example_elf elf = example_elf(mark);

	example_tar_file(tar, name, &elf, sizeof(elf));
}

static inline void example_ar_member(struct buffer *ar, const char *name, const void *bytes, size_t size)
{
	char header[sizeof(struct ar_hdr) + 1];

	if (!ar->count)
		buffer_append(ar, ARMAG, SARMAG);
	snprintf(header, sizeof(header), "%-16s%-12d%-6d%-6d%-8s%-10zu%s", name, 0, 0, 0, "100644", size, ARFMAG);
	buffer_append(ar, header, sizeof(struct ar_hdr));
	buffer_append(ar, bytes, size);
	buffer_append(ar, "\n", size % 2);
}

/* A member of the .deb that is a tar archive; it is freed. */
static inline void example_tar_member(struct buffer *deb, const char *name, struct buffer *tar)
{
	static const char end[1024];

	buffer_append(tar, end, sizeof(end));
	example_ar_member(deb, name, tar->item, tar->count);
	array_free(tar);
}

#define EXAMPLE_CONTROL "Package: libexample1\nSource: example (1.0-2)\nVersion: 1:1.0-2\nArchitecture: amd64\n"

/* A whole .deb with this data; `control` may be NULL: none. array_free() it; *data is freed. */
static inline struct buffer example_deb(const char *control, struct buffer *data)
{
	struct buffer deb = { 0 }, tar = { 0 };

	example_ar_member(&deb, "debian-binary", "2.0\n", 4);
	if (control) {
		example_tar_file(&tar, "./control", control, strlen(control));
		example_tar_member(&deb, "control.tar", &tar);
	}
	example_tar_member(&deb, "data.tar", data);
	return deb;
}

#endif
