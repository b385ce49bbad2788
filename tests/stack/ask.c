/*
 * ask.c: the question that live patching asks of a process: is it free of this code?
 *
 *	ask PID START END
 *
 * Prints a line for each thread, "TID FREE|INSIDE|UNRELIABLE TEXT"; and, as live patching does, only where all threads are
 * free, one for the stacks that no thread is on, "contexts FREE|INSIDE|UNRELIABLE TEXT". Exit status 4: a thread does not stop.
 */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "live/contexts.h"
#include "live/stacks.h"
#include "live/survey.h"

#define STOP_MS 1000
#define SEARCH_MAX (256u << 20)	/* bytes of memory; the programs here have little */

static const char *const verdict_names[] = {
	[STACK_FREE] = "FREE", [STACK_INSIDE] = "INSIDE", [STACK_UNRELIABLE] = "UNRELIABLE",
};

struct answer {
	pid_t tid;
	struct stack_result result;
};

struct answers {
	struct answer *item;
	size_t count, room;
	bool all_free;			/* all threads; then `contexts` is the answer of the rest */
	struct stack_result contexts;
};

/* Nothing is printed while the process is stopped. */
static enum status ask(const struct stack_check *check, struct answers *answers, struct error *error)
{
	const struct patience patience = patience_for(STOP_MS, NULL);
	struct contexts *contexts = contexts_new(&(struct live_options){ 0 });
	struct threads threads = { 0 };
	struct maps maps = { 0 };
	enum status status;

	contexts_rehearse(contexts, check->survey, &patience, &answers->contexts);
	status = threads_stop(check->survey->process, STOP_MS, &threads, error);
	if (status == STATUS_OK)
		status = maps_read(check->survey->process, &maps, error);
	answers->all_free = status == STATUS_OK;
	for (size_t i = 0; i < threads.count && status == STATUS_OK; i++) {
		struct answer answer = { .tid = threads.item[i].tid };

		if (threads.item[i].state != THREAD_STOPPED)
			continue;
		stack_check_thread(check, &maps, &threads.item[i], &answer.result);
		*array_add(answers) = answer;
		if (answer.result.verdict != STACK_FREE)
			answers->all_free = false;
	}
	if (answers->all_free)
		contexts_check(contexts, check, &maps, &threads, &answers->contexts);
	threads_release(check->survey->process, &threads);
	threads_free(&threads);
	maps_free(&maps);
	contexts_free(contexts);
	return status;
}

static enum status run(pid_t pid, struct range range, struct error *error)
{
	struct survey survey = { 0 };
	struct process process;
	struct stack_check check = { .survey = &survey, .arch = arch_by_machine(EM_X86_64) };
	struct answers answers = { 0 };
	enum status status = process_open(pid, PROCESS_LOOK, &process, error);

	if (status == STATUS_OK)
		status = survey_read(&process, &survey, error);
	if (status == STATUS_OK) {
		survey.search = SEARCH_MAX;
		survey_unwind(&survey);
		stack_check_add(&check, range, "the function");
		stack_check_ready(&check);
		status = ask(&check, &answers, error);
		stack_check_free(&check);
	}
	for (size_t i = 0; i < answers.count && status == STATUS_OK; i++)
		printf("%d %s %s\n", answers.item[i].tid, verdict_names[answers.item[i].result.verdict],
		       answers.item[i].result.text);
	if (answers.all_free)
		printf("contexts %s %s\n", verdict_names[answers.contexts.verdict], answers.contexts.text);
	array_free(&answers);
	survey_free(&survey);
	process_close(&process);
	return status;
}

int main(int argc, char **argv)
{
	struct error error = { 0 };
	enum status status;

	if (argc != 4) {
		fputs("usage: ask PID START END\n", stderr);
		return STATUS_ERROR;
	}
	status = run((pid_t)atoi(argv[1]), (struct range){ strtoull(argv[2], NULL, 16), strtoull(argv[3], NULL, 16) },
		     &error);
	if (status != STATUS_OK)
		fprintf(stderr, "ask: %s\n", error.text ? error.text : "a thread does not stop");
	error_clear(&error);
	return (int)status;
}
