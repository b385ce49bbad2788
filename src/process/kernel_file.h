/* kernel_file.h: files in which the kernel says something of the whole machine. */
#ifndef STENT_PROCESS_KERNEL_FILE_H
#define STENT_PROCESS_KERNEL_FILE_H

/*
 * Open one to be read, again and again, each time from its beginning. `magic`: the file system that it must be in (statfs(2)); a file that something
 * else has put in its place, as containers do, says something of the container. -1: there is none.
 */
int kernel_file_open(const char *path, long magic);

#endif
