/* stack.c: stent stack PID */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "live/traces.h"

static const char usage[] =
	"Usage: stent stack [--json] PID\n"
	"Prints the stack of every thread of a process, and how far it can be trusted. All threads are stopped\n"
	"together for the time that takes (milliseconds), and the process does not notice.\n"
	"\n"
	"  -j, --json  print the same as one JSON object\n"
	"  -h, --help  print this text\n"
	"\n"
	"A thread is proven when every frame was found by unwind data that agrees with the instructions of its code\n"
	"on every path, up to the thread's entry: then the list has every function that the thread can return to.\n"
	"A frame that is not exact, and all that are above it, may be wrong.\n"
	"\n"
	"Exit codes: 0 done, whatever was found; 1 there is no such process, or no permission; 2 the process can't be\n"
	"looked at: it is traced by another one, of another machine, of the kernel, or stent itself.\n";

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static void print_frame(size_t number, const struct unwind_frame *frame, const struct place *place)
{
	printf("  #%-3zu 0x%016" PRIx64 "  ", number, frame->pc);
	if (place->function)
		printf("%s+0x%" PRIx64 " (%s)", place->function, place->function_offset, place->image);
	else if (place->image)
		printf("%s+0x%" PRIx64, place->image, place->offset);
	else
		printf("?");
	if (number && !frame->after_call)
		printf(" <interrupted by a signal>");
	if (frame->doubt)
		printf(" [unreliable: %s]", frame->doubt);
	putchar('\n');
}

static void print_thread(struct places *places, const struct survey *survey, const struct thread_trace *thread)
{
	printf("thread %d (%s): %s%s\n", thread->tid, thread->comm, thread->proven ? "proven" : "not proven: ",
	       thread->proven ? "" : thread->why);
	for (size_t i = 0; i < thread->frames.count; i++) {
		struct place place;

		places_find(places, survey, &thread->frames.item[i], &place);
		print_frame(i, &thread->frames.item[i], &place);
		free(place.function);
	}
}

static void print_traces(const struct process *process, struct places *places, const struct traces *traces)
{
	printf("process %d (%s)\n", process->pid, process->comm);
	for (size_t i = 0; i < traces->threads.count; i++)
		print_thread(places, &traces->survey, &traces->threads.item[i]);
	if (traces->survey.switches)
		printf("%s: stacks that no thread is on, if there are any, are not listed\n", traces->survey.switches);
	printf("%zu thread%s: %zu proven, %zu not proven; paused %.2f ms\n", traces->threads.count,
	       traces->threads.count == 1 ? "" : "s", traces->proven, traces->threads.count - traces->proven,
	       (double)traces->paused / 1e6);
}

static json_t *hexadecimal(uint64_t number)
{
	return json_sprintf("0x%" PRIx64, number);
}

static json_t *frame_json(size_t number, const struct unwind_frame *frame, const struct place *place)
{
	json_t *object = json_object();

	json_object_set_new(object, "pc", hexadecimal(frame->pc));
	if (frame->cfa)
		json_object_set_new(object, "cfa", hexadecimal(frame->cfa));
	if (place->image) {
		json_object_set_new(object, "image", json_string(place->image));
		json_object_set_new(object, "offset", hexadecimal(place->offset));
	}
	if (place->function) {
		json_object_set_new(object, "function", json_string(place->function));
		json_object_set_new(object, "function_offset", json_integer((json_int_t)place->function_offset));
	}
	json_object_set_new(object, "verdict", json_string(frame->doubt ? "unreliable" : "exact"));
	if (frame->doubt)
		json_object_set_new(object, "why", json_string(frame->doubt));
	if (number && !frame->after_call)
		json_object_set_new(object, "interrupted", json_true());
	return object;
}

static json_t *thread_json(struct places *places, const struct survey *survey, const struct thread_trace *thread)
{
	json_t *object = json_object(), *frames = json_array();

	json_object_set_new(object, "tid", json_integer(thread->tid));
	json_object_set_new(object, "comm", json_string(thread->comm));
	json_object_set_new(object, "proven", json_boolean(thread->proven));
	if (!thread->proven)
		json_object_set_new(object, "why", json_string(thread->why));
	for (size_t i = 0; i < thread->frames.count; i++) {
		struct place place;

		places_find(places, survey, &thread->frames.item[i], &place);
		json_array_append_new(frames, frame_json(i, &thread->frames.item[i], &place));
		free(place.function);
	}
	json_object_set_new(object, "frames", frames);
	return object;
}

static enum status print_json(const struct process *process, struct places *places, const struct traces *traces,
			      struct error *error)
{
	json_t *object = json_object(), *threads = json_array();

	json_object_set_new(object, "pid", json_integer(process->pid));
	json_object_set_new(object, "comm", json_string(process->comm));
	for (size_t i = 0; i < traces->threads.count; i++)
		json_array_append_new(threads, thread_json(places, &traces->survey, &traces->threads.item[i]));
	json_object_set_new(object, "threads", threads);
	if (traces->survey.switches)
		json_object_set_new(object, "suspended_contexts", json_string(traces->survey.switches));
	json_object_set_new(object, "proven", json_integer((json_int_t)traces->proven));
	json_object_set_new(object, "not_proven", json_integer((json_int_t)(traces->threads.count - traces->proven)));
	json_object_set_new(object, "paused_ns", json_integer((json_int_t)traces->paused));
	return cmd_print_json(object, error);
}

static enum status show_stacks(pid_t pid, bool json, struct error *error)
{
	struct process process = { 0 };
	enum status status = process_open(pid, PROCESS_LOOK, &process, error);

	if (status == STATUS_OK) {
		struct traces traces;
		struct places places = { 0 };

		status = traces_take(&process, &traces, error);
		if (status == STATUS_OK && json)
			status = print_json(&process, &places, &traces, error);
		else if (status == STATUS_OK)
			print_traces(&process, &places, &traces);
		places_free(&places);
		traces_free(&traces);
	}
	process_close(&process);
	return status;
}

int cmd_stack(int argc, char **argv)
{
	struct error error = { 0 };
	enum status status;
	bool json = false;
	pid_t pid;
	int option;

	while ((option = getopt_long(argc, argv, "jh", options, NULL)) != -1)
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return STATUS_OK;
		default:
			return cmd_misused_option("stack");
		}
	if (argc - optind != 1)
		return cmd_misused("stack", "needs one process id");
	status = cmd_parse_pid(argv[optind], &pid, &error);
	if (status == STATUS_OK)
		status = show_stacks(pid, json, &error);
	return cmd_report(status, &error);
}
