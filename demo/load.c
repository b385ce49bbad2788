/*
 * load.c: keep a server busy and count exactly what becomes of every request.
 *
 *	load MODE PORT [-c CONNECTIONS] [-i PAUSE] [-t SECONDS] [-r REQUEST] [-e ANSWER]
 *
 * Each connection has a thread that sends a request, waits for the whole answer, compares it and
 * starts again, PAUSE microseconds later. Each line of standard input starts a new phase of that
 * name; its end ends the run. A table with one row per phase and a line with the totals go to
 * standard output. Exit status 0: requests were made, every one was answered rightly and no
 * connection was lost.
 *
 * A request belongs to the phase in which it was sent, so one that waits while a server is being
 * patched counts where the patching was.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PHASES_MAX 16
#define CONNECTIONS_MAX 256
#define ANSWER_MAX (1 << 16)
#define ANSWER_TIMEOUT 60	/* seconds: a machine that is busy otherwise is not a fault of the server */

/* Latencies in microseconds: 32 buckets for each power of two, so that a percentile is within 3%. */
#define BUCKET_BITS 5
#define BUCKETS ((34 - BUCKET_BITS) << BUCKET_BITS)

struct tally {
	uint64_t requests, failed, dropped;
	uint64_t latency_max;
	uint32_t latencies[BUCKETS];
};

struct phase {
	char name[64];
	struct timespec start;
};

struct connection {
	pthread_t thread;
	unsigned int number;
	int fd;
	uint64_t serial;	/* of the next request */
	char answer[ANSWER_MAX];
	size_t received;
	struct tally tallies[PHASES_MAX];
};

/* Sends one request and reads its answer. 0: right; 1: wrong answer; -1: the connection is lost. */
typedef int exchange_fn(struct connection *connection);

static struct {
	uint16_t port;
	unsigned int connections, pause, seconds;
	const char *request, *expected;
	exchange_fn *exchange;
	struct phase phases[PHASES_MAX + 1];	/* the last is the end of the run */
	atomic_uint phase;
	atomic_bool stop;
} load = { .connections = 4, .seconds = 120 };

static uint64_t elapsed_us(const struct timespec *from, const struct timespec *to)
{
	return (uint64_t)((to->tv_sec - from->tv_sec) * 1000000 + (to->tv_nsec - from->tv_nsec) / 1000);
}

static unsigned int bucket_of(uint64_t us)
{
	unsigned int shift;

	if (us < 1U << BUCKET_BITS)
		return (unsigned int)us;
	shift = 63U - (unsigned int)__builtin_clzll(us) - BUCKET_BITS;
	if (shift >= 33 - BUCKET_BITS)
		return BUCKETS - 1;
	return ((shift + 1) << BUCKET_BITS) + (unsigned int)(us >> shift) - (1U << BUCKET_BITS);
}

/* The smallest latency of a bucket. */
static uint64_t bucket_start(unsigned int bucket)
{
	unsigned int shift = bucket >> BUCKET_BITS;

	if (shift == 0)
		return bucket;
	return ((uint64_t)(bucket & ((1U << BUCKET_BITS) - 1)) + (1U << BUCKET_BITS)) << (shift - 1);
}

static int send_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);

		if (sent <= 0)
			return -1;
		bytes += sent;
		size -= (size_t)sent;
	}
	return 0;
}

static int receive_more(struct connection *connection)
{
	ssize_t got;

	if (connection->received >= sizeof(connection->answer) - 1)
		return -1;
	got = recv(connection->fd, connection->answer + connection->received,
		   sizeof(connection->answer) - 1 - connection->received, 0);
	if (got <= 0)
		return -1;
	connection->received += (size_t)got;
	connection->answer[connection->received] = '\0';
	return 0;
}

/* Wait for `count` lines of answer; the requests are not pipelined, so nothing may follow them. */
static int receive_lines(struct connection *connection, unsigned int count)
{
	const char *from = connection->answer, *end;

	connection->received = 0;
	connection->answer[0] = '\0';
	while (count > 0) {
		end = strchr(from, '\n');
		if (end) {
			from = end + 1;
			count--;
		} else if (receive_more(connection) < 0) {
			return -1;
		}
	}
	return *from == '\0' ? 0 : 1;
}

/* A line out, a line back. Without -r, a sum that is different every time (demo/server.c). */
static int exchange_line(struct connection *connection)
{
	char request[512], expected[512];
	int wrong;

	if (load.request) {
		snprintf(request, sizeof(request), "%s\n", load.request);
		snprintf(expected, sizeof(expected), "%s\n", load.expected ? load.expected : "");
	} else {
		unsigned long a = connection->number, b = connection->serial % 1000000;

		snprintf(request, sizeof(request), "sum %lu,%lu\n", a, b);
		snprintf(expected, sizeof(expected), "%lu\n", a + b);
	}
	if (send_all(connection->fd, request, strlen(request)) < 0)
		return -1;
	wrong = receive_lines(connection, 1);
	return wrong ? wrong : strcmp(connection->answer, expected) != 0;
}

/* RESP (the protocol of Redis): SET a value, GET it back. */
static int exchange_redis(struct connection *connection)
{
	char request[256], expected[128];
	int wrong;

	snprintf(request, sizeof(request), "SET load:%u:%lu %lu-%u\r\n", connection->number,
		 connection->serial % 1000, connection->serial, connection->number);
	if (send_all(connection->fd, request, strlen(request)) < 0)
		return -1;
	wrong = receive_lines(connection, 1);
	if (wrong || strcmp(connection->answer, "+OK\r\n") != 0)
		return wrong ? wrong : 1;

	snprintf(expected, sizeof(expected), "%lu-%u\r\n", connection->serial, connection->number);
	snprintf(request, sizeof(request), "GET load:%u:%lu\r\n", connection->number, connection->serial % 1000);
	if (send_all(connection->fd, request, strlen(request)) < 0)
		return -1;
	wrong = receive_lines(connection, 1);
	if (wrong < 0 || connection->answer[0] != '$')
		return wrong ? wrong : 1;
	while (!strchr(strchr(connection->answer, '\n') + 1, '\n'))
		if (receive_more(connection) < 0)
			return -1;
	return strcmp(strchr(connection->answer, '\n') + 1, expected) != 0;
}

/* HTTP/1.1 GET with keep-alive; answers carry a Content-Length (RFC 9112, 6.2). */
static int exchange_http(struct connection *connection)
{
	char request[512];
	const char *head_end, *field;
	size_t length;

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
		 load.request ? load.request : "/");
	if (send_all(connection->fd, request, strlen(request)) < 0)
		return -1;
	connection->received = 0;
	connection->answer[0] = '\0';
	while (!(head_end = strstr(connection->answer, "\r\n\r\n")))
		if (receive_more(connection) < 0)
			return -1;
	head_end += 4;
	field = strcasestr(connection->answer, "\r\ncontent-length:");
	if (!field || field > head_end)
		return -1;
	length = (size_t)(head_end - connection->answer) + strtoul(field + 17, NULL, 10);
	while (connection->received < length)
		if (receive_more(connection) < 0)
			return -1;
	if (connection->received != length || strncmp(connection->answer, "HTTP/1.1 200 ", 13) != 0)
		return 1;
	return load.expected && strcmp(head_end, load.expected) != 0;
}

static int connect_server(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(load.port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT };
	int fd, one = 1;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void *run_connection(void *argument)
{
	struct connection *connection = argument;

	while (!atomic_load(&load.stop)) {
		struct tally *tally = &connection->tallies[atomic_load(&load.phase)];
		struct timespec sent, answered;
		uint64_t latency;
		int result;

		clock_gettime(CLOCK_MONOTONIC, &sent);
		result = connection->fd < 0 ? -1 : load.exchange(connection);
		clock_gettime(CLOCK_MONOTONIC, &answered);
		tally->requests++;
		connection->serial++;
		if (result != 0)
			tally->failed++;
		if (result < 0) {
			tally->dropped++;
			if (connection->fd >= 0)
				close(connection->fd);
			connection->fd = connect_server();
			if (connection->fd < 0)
				usleep(10000);	/* a server that is gone is not asked in a tight loop */
			continue;
		}
		latency = elapsed_us(&sent, &answered);
		tally->latencies[bucket_of(latency)]++;
		if (latency > tally->latency_max)
			tally->latency_max = latency;
		if (load.pause)
			usleep(load.pause);
	}
	return NULL;
}

static void start_phase(const char *name)
{
	unsigned int next = atomic_load(&load.phase) + 1;

	if (next == PHASES_MAX)
		return;		/* the last one goes on */
	snprintf(load.phases[next].name, sizeof(load.phases[next].name), "%s", name);
	clock_gettime(CLOCK_MONOTONIC, &load.phases[next].start);
	atomic_store(&load.phase, next);
}

/* Follow the phases until standard input or the time ends. */
static void follow_phases(void)
{
	char line[64];
	size_t length = 0;
	struct timespec now;

	for (;;) {
		struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
		char c;

		clock_gettime(CLOCK_MONOTONIC, &now);
		if (elapsed_us(&load.phases[0].start, &now) >= load.seconds * 1000000ULL)
			return;
		if (poll(&input, 1, 100) <= 0)
			continue;
		if (read(STDIN_FILENO, &c, 1) <= 0)
			return;
		if (c == '\n') {
			line[length] = '\0';
			length = 0;
			start_phase(line);
		} else if (length < sizeof(line) - 1) {
			line[length++] = c;
		}
	}
}

static void add_tally(struct tally *sum, const struct tally *tally)
{
	sum->requests += tally->requests;
	sum->failed += tally->failed;
	sum->dropped += tally->dropped;
	if (tally->latency_max > sum->latency_max)
		sum->latency_max = tally->latency_max;
	for (unsigned int i = 0; i < BUCKETS; i++)
		sum->latencies[i] += tally->latencies[i];
}

static double percentile_ms(const struct tally *tally, double share)
{
	uint64_t seen = 0, answered = 0;

	for (unsigned int i = 0; i < BUCKETS; i++)
		answered += tally->latencies[i];
	for (unsigned int i = 0; i < BUCKETS; i++) {
		seen += tally->latencies[i];
		if (answered && (double)seen >= share * (double)answered)
			return (double)bucket_start(i) / 1000;
	}
	return 0;
}

static int report(const struct connection *connections)
{
	unsigned int last = atomic_load(&load.phase);
	static struct tally total, sum;

	printf("%-16s %10s %10s %8s %8s %8s %7s %7s\n", "phase", "requests", "per second", "p50 ms", "p99 ms",
	       "max ms", "failed", "dropped");
	for (unsigned int p = 0; p <= last; p++) {
		uint64_t time = elapsed_us(&load.phases[p].start, &load.phases[p + 1].start);

		memset(&sum, 0, sizeof(sum));
		for (unsigned int i = 0; i < load.connections; i++)
			add_tally(&sum, &connections[i].tallies[p]);
		add_tally(&total, &sum);
		printf("%-16s %10lu %10.0f %8.2f %8.2f %8.2f %7lu %7lu\n", load.phases[p].name, sum.requests,
		       time ? (double)sum.requests * 1e6 / (double)time : 0, percentile_ms(&sum, 0.5),
		       percentile_ms(&sum, 0.99), (double)sum.latency_max / 1000, sum.failed, sum.dropped);
	}
	printf("total requests=%lu failed=%lu dropped=%lu\n", total.requests, total.failed, total.dropped);
	return total.requests > 0 && total.failed == 0 && total.dropped == 0 ? 0 : 1;
}

static int usage(void)
{
	fprintf(stderr, "usage: load line|redis|http PORT [-c CONNECTIONS] [-i PAUSE-US] [-t SECONDS] "
			"[-r REQUEST] [-e ANSWER]\n");
	return 2;
}

static int parse_arguments(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "c:i:t:r:e:")) != -1) {
		switch (option) {
		case 'c': load.connections = (unsigned int)strtoul(optarg, NULL, 10); break;
		case 'i': load.pause = (unsigned int)strtoul(optarg, NULL, 10); break;
		case 't': load.seconds = (unsigned int)strtoul(optarg, NULL, 10); break;
		case 'r': load.request = optarg; break;
		case 'e': load.expected = optarg; break;
		default: return -1;
		}
	}
	if (argc - optind != 2 || load.connections < 1 || load.connections > CONNECTIONS_MAX)
		return -1;
	if (strcmp(argv[optind], "line") == 0)
		load.exchange = exchange_line;
	else if (strcmp(argv[optind], "redis") == 0)
		load.exchange = exchange_redis;
	else if (strcmp(argv[optind], "http") == 0)
		load.exchange = exchange_http;
	load.port = (uint16_t)strtoul(argv[optind + 1], NULL, 10);
	return load.exchange && load.port ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct connection *connections;

	if (parse_arguments(argc, argv) < 0)
		return usage();
	connections = calloc(load.connections, sizeof(*connections));
	if (!connections) {
		perror("load");
		return 2;
	}
	snprintf(load.phases[0].name, sizeof(load.phases[0].name), "start");
	clock_gettime(CLOCK_MONOTONIC, &load.phases[0].start);
	for (unsigned int i = 0; i < load.connections; i++) {
		connections[i].number = i;
		connections[i].fd = connect_server();
		if (connections[i].fd < 0) {
			fprintf(stderr, "load: can't connect to port %u: %s\n", load.port, strerror(errno));
			return 2;
		}
	}
	for (unsigned int i = 0; i < load.connections; i++) {
		if (pthread_create(&connections[i].thread, NULL, run_connection, &connections[i]) != 0) {
			fprintf(stderr, "load: can't create thread %u\n", i);
			return 2;
		}
	}
	follow_phases();
	atomic_store(&load.stop, true);
	clock_gettime(CLOCK_MONOTONIC, &load.phases[atomic_load(&load.phase) + 1].start);
	for (unsigned int i = 0; i < load.connections; i++)
		pthread_join(connections[i].thread, NULL);
	return report(connections);
}
