/*
 * server.c: a small multi-threaded server in two versions, for machines that can't have a real one.
 *
 *	server PORT	listens on 127.0.0.1, one thread per connection, runs until SIGTERM
 *
 * A request is a line, and so is the answer:
 *	sum NUMBER,NUMBER,...	their sum
 *	max NUMBER,NUMBER,...	the largest
 *	mean NUMBER,NUMBER,...	the mean, cut to a whole number
 *	count			requests answered by this process: what a live patch must not reset
 *
 * Built with -DVERSION=1 its parser has three faults that version 2 corrects: it takes "5-3" for two
 * numbers, so that "sum 5-3" is 8; a number too large wraps around; and "mean" of an empty list
 * divides by zero. The correction changes what two static functions pass to each
 * other and adds messages, as fixes of real programs do.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef VERSION
#error "build with -DVERSION=1 or -DVERSION=2"
#endif

#define NUMBERS_MAX 64
#define LINE_MAX_BYTES 1024

/* Callers and callee stay separate functions, so that the patch has a signature that changed. */
#define separate __attribute__((noinline))

struct list {
	unsigned int count;
	int64_t numbers[NUMBERS_MAX];
};

static atomic_ulong requests;

#if VERSION == 1

/* Skips what stands between numbers, then reads one. */
static separate int64_t parse_number(const char **text)
{
	int64_t value = 0;

	while (**text && !(**text >= '0' && **text <= '9'))
		++*text;
	while (**text >= '0' && **text <= '9')
		value = (int64_t)((uint64_t)value * 10 + (uint64_t)(*(*text)++ - '0'));
	return value;
}

static separate const char *parse_list(const char *text, struct list *list)
{
	list->count = 0;
	while (*text) {
		if (list->count == NUMBERS_MAX)
			return "error: too many numbers";
		list->numbers[list->count++] = parse_number(&text);
	}
	return NULL;
}

#else

enum parsed { PARSED_NUMBER, PARSED_NOTHING, PARSED_TOO_LARGE };

static separate enum parsed parse_number(const char **text, int64_t *value)
{
	const bool negative = **text == '-';
	const char *start;

	if (negative)
		++*text;
	start = *text;
	*value = 0;
	while (**text >= '0' && **text <= '9')
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, *(*text)++ - '0', value))
			return PARSED_TOO_LARGE;
	if (negative)
		*value = -*value;
	return *text > start ? PARSED_NUMBER : PARSED_NOTHING;
}

static separate const char *parse_list(const char *text, struct list *list)
{
	list->count = 0;
	for (;;) {
		enum parsed parsed;

		if (list->count == NUMBERS_MAX)
			return "error: too many numbers";
		parsed = parse_number(&text, &list->numbers[list->count++]);
		if (parsed != PARSED_NUMBER)
			return parsed == PARSED_NOTHING ? "error: not a number" : "error: number too large";
		if (*text == '\0')
			return NULL;
		if (*text++ != ',')
			return "error: numbers are separated by commas";
	}
}

#endif

static separate int64_t sum_of(const struct list *list)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < list->count; i++)
		sum += (uint64_t)list->numbers[i];
	return (int64_t)sum;
}

static separate int64_t max_of(const struct list *list)
{
	int64_t max = INT64_MIN;

	for (unsigned int i = 0; i < list->count; i++)
		if (list->numbers[i] > max)
			max = list->numbers[i];
	return max;
}

/* Answers one request, without its newline. */
static separate void answer_request(const char *request, char *answer, size_t size)
{
	struct list list;
	const char *error;
	int64_t result;

	atomic_fetch_add(&requests, 1);
	if (strcmp(request, "count") == 0) {
		snprintf(answer, size, "%lu\n", atomic_load(&requests));
		return;
	}
	if (strncmp(request, "sum ", 4) == 0) {
		error = parse_list(request + 4, &list);
		result = sum_of(&list);
	} else if (strncmp(request, "max ", 4) == 0) {
		error = parse_list(request + 4, &list);
		result = max_of(&list);
	} else if (strncmp(request, "mean ", 5) == 0) {
		error = parse_list(request + 5, &list);
		result = error ? 0 : sum_of(&list) / (int64_t)list.count;
	} else {
		error = "error: unknown request";
		result = 0;
	}
	if (error)
		snprintf(answer, size, "%s\n", error);
	else
		snprintf(answer, size, "%ld\n", result);
}

static void *serve_connection(void *argument)
{
	const int fd = (int)(intptr_t)argument;
	char line[LINE_MAX_BYTES], answer[128];
	size_t length = 0;

	for (;;) {
		char *end;
		ssize_t got = read(fd, line + length, sizeof(line) - length);

		if (got <= 0)
			break;
		length += (size_t)got;
		while ((end = memchr(line, '\n', length)) != NULL) {
			*end++ = '\0';
			answer_request(line, answer, sizeof(answer));
			if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
				break;
			length -= (size_t)(end - line);
			memmove(line, end, length);
		}
		if (length == sizeof(line))
			break;
	}
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	pthread_attr_t detached;
	int listener, one = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: server PORT\n");
		return 2;
	}
	address.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 128) < 0) {
		perror("server");
		return 1;
	}
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (;;) {
		pthread_t thread;
		const int fd = accept(listener, NULL, NULL);

		if (fd >= 0 && pthread_create(&thread, &detached, serve_connection, (void *)(intptr_t)fd) != 0)
			close(fd);
	}
}
