/*
 * tree_server.c: for tree.sh, a server whose processes come and go, and its clients. VERSION is 1 unless given.
 *
 *	tree_server serve WORKERS	prints its port. Each worker takes connections, and has a child answer each. Requests:
 *		"call"		"A B": the versions of outer() and of inner(), which outer() calls, and the pid
 *		"slow"		the same, after 200 ms in outer()
 *		"hold"		the same, after 2 s in outer()
 *		"fork"		outer() forks after 1 s; its child stays there for another one, calls inner(), answers, and lingers outside,
 *				as its parent does, for 10 s
 *	tree_server load PORT CLIENTS	requests without end, on new connections. Each line of input is answered with
 *				"REQUESTS FAILED MIXED OLD NEW" of the time since the last one: MIXED of two versions in one answer
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

#define PATCHED __attribute__((noinline, noclone))

int outer(const char *request, char *answer, size_t room);
int inner(void);

static void nap(int milliseconds)
{
	const struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

PATCHED int inner(void)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", VERSION);
	return atoi(text);
}

static void die_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* How many seconds the process is to linger, when it has answered: the answer is empty where another one gives it. */
PATCHED int outer(const char *request, char *answer, size_t room)
{
	int lingers = 0;

	if (!strncmp(request, "slow", 4))
		nap(200);
	if (!strncmp(request, "hold", 4))
		nap(2000);
	if (!strncmp(request, "fork", 4)) {
		nap(1000);
		answer[0] = '\0';
		if (fork())
			return 12;
		die_with_parent();
		nap(1000);
		lingers = 10;
	}
	snprintf(answer, room, "%d %d %d\n", VERSION, inner(), getpid());
	return lingers;
}

static void answer_connection(int connection)
{
	char request[64] = "", answer[64];
	int lingers;

	if (read(connection, request, sizeof(request) - 1) <= 0)
		_exit(1);
	lingers = outer(request, answer, sizeof(answer));
	if (write(connection, answer, strlen(answer)) < 0)
		_exit(1);
	close(connection);
	nap(lingers * 1000);
	_exit(0);
}

static void run_worker(int listener)
{
	die_with_parent();
	while (1) {
		int connection = accept(listener, NULL, NULL);

		if (connection < 0)
			continue;
		if (!fork()) {
			die_with_parent();
			close(listener);
			answer_connection(connection);
		}
		close(connection);
	}
}

static int serve(int workers)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	signal(SIGCHLD, SIG_IGN);
	if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 256) ||
	    getsockname(listener, (struct sockaddr *)&address, &size))
		return 2;
	for (int i = 0; i < workers; i++)
		if (!fork())
			run_worker(listener);
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	while (1)
		pause();
}

static struct sockaddr_in server;
static atomic_long requests, failed, mixed, versions[3];

static void ask_once(const char *request)
{
	int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), length = 0, one = 0, other = 0;
	char answer[64];

	if (connect(connection, (struct sockaddr *)&server, sizeof(server)) == 0 &&
	    write(connection, request, strlen(request)) > 0) {
		ssize_t count;

		while (length < (int)sizeof(answer) - 1 &&
		       (count = read(connection, answer + length, sizeof(answer) - 1 - (size_t)length)) > 0)
			length += (int)count;
	}
	answer[length] = '\0';
	close(connection);
	requests++;
	if (sscanf(answer, "%d %d", &one, &other) != 2 || one < 1 || one > 2)
		failed++;
	else if (one != other)
		mixed++;
	else
		versions[one]++;
}

static void *run_client(void *slow)
{
	while (1) {
		ask_once(slow ? "slow\n" : "call\n");
		nap(2);
	}
	return NULL;
}

static int load(int port, int clients)
{
	char line[64];
	pthread_t thread;

	server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	for (int i = 0; i < clients; i++)
		if (pthread_create(&thread, NULL, run_client, i % 2 ? &server : NULL))
			return 2;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		printf("%ld %ld %ld %ld %ld\n", atomic_exchange(&requests, 0), atomic_exchange(&failed, 0),
		       atomic_exchange(&mixed, 0), atomic_exchange(&versions[1], 0), atomic_exchange(&versions[2], 0));
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "load"))
		return load(atoi(argv[2]), atoi(argv[3]));
	return 2;
}
