/*
 * called.c: a library that programs of other languages call (hosts/), built twice, the second time with -DVERSION=2; with -DFOR_JAVA or
 * -DFOR_NODE as those want to have it.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef VERSION
#define VERSION 1
#endif

#define PATCHED __attribute__((noinline, noclone, noipa))

int answer(int number);
int version(void);
int inside(int (*back)(int), int number);

PATCHED int answer(int number)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", number * VERSION);
	return atoi(text);
}

PATCHED int version(void)
{
	return VERSION;
}

/* Goes back into the other language from inside of code that changes. */
PATCHED int inside(int (*back)(int), int number)
{
	int sum = answer(number) + back(number);

	return VERSION == 1 ? sum : sum + version() - 2;
}

#ifdef FOR_JAVA
/* The table of functions that jni.h calls struct JNINativeInterface_, by their numbers in the JNI specification, chapter 4. */
#define GET_STATIC_METHOD_ID 113
#define CALL_STATIC_INT_METHOD 129

static __thread const void *const **java;
static __thread void *host, *method;

int Java_Host_answer(const void *const **environment, void *class, int number);
int Java_Host_version(const void *const **environment, void *class);
int Java_Host_inside(const void *const **environment, void *class, int number);

int Java_Host_answer(const void *const **environment, void *class, int number)
{
	(void)environment, (void)class;
	return answer(number);
}

int Java_Host_version(const void *const **environment, void *class)
{
	(void)environment, (void)class;
	return version();
}

static int call_back(int number)
{
	int (*call)(const void *const **, void *, void *, ...) =
		(int (*)(const void *const **, void *, void *, ...))(size_t)(*java)[CALL_STATIC_INT_METHOD];

	return call(java, host, method, number);
}

int Java_Host_inside(const void *const **environment, void *class, int number)
{
	void *(*find)(const void *const **, void *, const char *, const char *) =
		(void *(*)(const void *const **, void *, const char *, const char *))(size_t)(*environment)[GET_STATIC_METHOD_ID];

	java = environment;
	host = class;
	method = find(environment, class, "back", "(I)I");
	return inside(call_back, number);
}
#endif

#ifdef FOR_NODE
/* What of node_api.h is needed: its types are pointers, its results numbers, and its interface does not change. */
typedef void *(*callback)(void *environment, void *info);

int napi_create_function(void *environment, const char *name, size_t length, callback function, void *data, void **result);
int napi_set_named_property(void *environment, void *object, const char *name, void *value);
int napi_get_cb_info(void *environment, void *info, size_t *count, void **arguments, void **self, void **data);
int napi_get_value_int32(void *environment, void *value, int *result);
int napi_create_int32(void *environment, int value, void **result);
int napi_call_function(void *environment, void *receiver, void *function, size_t count, void **arguments, void **result);
int napi_get_global(void *environment, void **result);
void *napi_register_module_v1(void *environment, void *exports);

static __thread void *node, *function;

static void *number_of(void *environment, int value)
{
	void *result = NULL;

	napi_create_int32(environment, value, &result);
	return result;
}

static int argument(void *environment, void *info, void **second)
{
	void *arguments[2] = { NULL, NULL };
	size_t count = 2;
	int value = 0;

	napi_get_cb_info(environment, info, &count, arguments, NULL, NULL);
	napi_get_value_int32(environment, arguments[0], &value);
	if (second)
		*second = arguments[1];
	return value;
}

static void *node_answer(void *environment, void *info)
{
	return number_of(environment, answer(argument(environment, info, NULL)));
}

static void *node_version(void *environment, void *info)
{
	(void)info;
	return number_of(environment, version());
}

static int call_back(int number)
{
	void *global = NULL, *result = NULL, *value = number_of(node, number);
	int back = 0;

	napi_get_global(node, &global);
	napi_call_function(node, global, function, 1, &value, &result);
	napi_get_value_int32(node, result, &back);
	return back;
}

static void *node_inside(void *environment, void *info)
{
	int number = argument(environment, info, &function);

	node = environment;
	return number_of(environment, inside(call_back, number));
}

void *napi_register_module_v1(void *environment, void *exports)
{
	static const struct {
		const char *name;
		callback function;
	} functions[] = { { "answer", node_answer }, { "version", node_version }, { "inside", node_inside } };

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *value = NULL;

		napi_create_function(environment, functions[i].name, (size_t)-1, functions[i].function, NULL, &value);
		napi_set_named_property(environment, exports, functions[i].name, value);
	}
	return exports;
}
#endif
