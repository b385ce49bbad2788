/*
 * json_chains.c: what `stent stack --json` prints (standard input), in the form of chains.c: "TID PC PC..." for each thread, sorted
 * by tid. "TID WHY", for each thread that is not proven, goes to standard error.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *member(const json_t *object, const char *name, json_type type)
{
	json_t *value = json_object_get(object, name);

	if (!value || json_typeof(value) != type) {
		fprintf(stderr, "json_chains: there is no \"%s\", or it is of another type\n", name);
		exit(1);
	}
	return value;
}

static int compare_threads(const void *one, const void *other)
{
	json_int_t a = json_integer_value(json_object_get(*(json_t *const *)one, "tid"));
	json_int_t b = json_integer_value(json_object_get(*(json_t *const *)other, "tid"));

	return a < b ? -1 : a > b;
}

static void print_thread(const json_t *thread)
{
	json_int_t tid = json_integer_value(member(thread, "tid", JSON_INTEGER));
	const json_t *frames = member(thread, "frames", JSON_ARRAY);

	printf("%" JSON_INTEGER_FORMAT, tid);
	for (size_t i = 0; i < json_array_size(frames); i++)
		printf(" %s", json_string_value(member(json_array_get(frames, i), "pc", JSON_STRING)));
	putchar('\n');
	if (!json_is_true(json_object_get(thread, "proven")))
		fprintf(stderr, "%" JSON_INTEGER_FORMAT " %s\n", tid, json_string_value(member(thread, "why", JSON_STRING)));
}

int main(void)
{
	json_error_t error;
	json_t *stacks = json_loadf(stdin, 0, &error);
	const json_t *threads;
	json_t **sorted;
	size_t count;

	if (!stacks) {
		fprintf(stderr, "json_chains: %s\n", error.text);
		return 1;
	}
	threads = member(stacks, "threads", JSON_ARRAY);
	count = json_array_size(threads);
	sorted = calloc(count + 1, sizeof(json_t *));
	if (!sorted)
		return 1;
	for (size_t i = 0; i < count; i++)
		sorted[i] = json_array_get(threads, i);
	qsort(sorted, count, sizeof(json_t *), compare_threads);
	for (size_t i = 0; i < count; i++)
		print_thread(sorted[i]);
	free(sorted);
	json_decref(stacks);
	return 0;
}
