/* sign.c: sign a patch file with a key of minisign's. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "patch/bundle.h"
#include "patch/file.h"
#include "patch/signature.h"

static const char usage[] =
	"Usage: stent sign -s KEY [options] FILE\n"
	"Signs a patch, so that 'stent apply --require-signature' takes it. Keys and signatures are minisign's: 'minisign -G'\n"
	"makes a pair of keys, and 'minisign -V' checks what stent has signed.\n"
	"\n"
	"  -s, --secret-key KEY   the secret key file. If it is encrypted, the password is asked for, or read from the first\n"
	"                         line of standard input if that is no terminal\n"
	"  -o, --output FILE      the signature file to write; by default the patch's name with .minisig behind it\n"
	"  -t, --trusted-comment TEXT\n"
	"                         a line that is signed too, and printed by 'stent apply'; by default time and file name\n"
	"  -h, --help             print this text\n"
	"\n"
	"Exit codes: 0 done; 1 the file is no patch, the key can't be read, or the signature can't be written.\n";

static const struct option options[] = {
	{ "secret-key", required_argument, NULL, 's' },
	{ "output", required_argument, NULL, 'o' },
	{ "trusted-comment", required_argument, NULL, 't' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* A line of standard input, without its end. */
static char *read_line(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length = getline(&line, &room, stdin);

	if (length < 0) {
		free(line);
		return NULL;
	}
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* Nothing of it is to be seen. (A signal leaves the terminal silent, as it does with any program: `stty echo`.) */
static char *ask(const char *path)
{
	struct termios before, silent;
	bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
	char *line;

	if (!terminal)
		return read_line();
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	fprintf(stderr, "Password of %s: ", path);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	line = read_line();
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	fputc('\n', stderr);
	return line;
}

struct signing {
	const char *key, *output, *comment;
	char *text;	/* of the signature; owned */
};

/* As minisign's own. */
static char *default_comment(const char *path)
{
	const char *slash = strrchr(path, '/');

	return text_format("timestamp:%ld\tfile:%s\thashed", (long)time(NULL), slash ? slash + 1 : path);
}

static enum status make(struct signing *signing, const char *path, const uint8_t *bytes, size_t size, struct error *error)
{
	struct secret_key *key;
	enum status status = secret_key_read(signing->key, ask, &key, error);
	char *comment = signing->comment ? text_copy(signing->comment) : default_comment(path);

	if (!status && (strlen(comment) > SIGNATURE_COMMENT_MAX || strpbrk(comment, "\r\n")))
		status = fail(error, "the comment is not one line of at most %u bytes", SIGNATURE_COMMENT_MAX);
	if (!status)
		signing->text = signature_make(key, bytes, size, comment);
	secret_key_free(key);
	free(comment);
	return status;
}

struct kept {
	uint8_t *bytes;
	size_t size;
};

static enum status keep(void *context, const uint8_t *bytes, size_t size, struct error *error)
{
	struct kept *kept = context;

	(void)error;
	*kept = (struct kept){ memory_copy(bytes, size), size };
	return STATUS_OK;
}

/* What is signed is a patch: the very bytes that were read as one. */
static enum status sign(struct signing *signing, const char *path, struct error *error)
{
	char *beside = text_format("%s" SIGNATURE_SUFFIX, path);
	const char *output = signing->output ? signing->output : beside;
	struct bundle bundle;
	struct kept kept = { 0 };
	enum status status = bundle_read_checked(path, keep, &kept, &bundle, error);

	if (!status)
		status = make(signing, path, kept.bytes, kept.size, error);
	if (!status)
		status = file_write(output, (const uint8_t *)signing->text, strlen(signing->text), error);
	if (!status)
		printf("%s: signed; the signature is in %s\n", path, output);
	bundle_free(&bundle);
	free(kept.bytes);
	free(signing->text);
	free(beside);
	return status;
}

int cmd_sign(int argc, char **argv)
{
	struct signing signing = { 0 };
	struct error error = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "s:o:t:h", options, NULL)) != -1)
		switch (option) {
		case 's': signing.key = optarg; break;
		case 'o': signing.output = optarg; break;
		case 't': signing.comment = optarg; break;
		case 'h':
			fputs(usage, stdout);
			return STATUS_OK;
		default:
			return cmd_misused_option("sign");
		}
	if (argc - optind != 1)
		return cmd_misused("sign", "sign takes one patch file");
	if (!signing.key)
		return cmd_misused("sign", "needs -s KEY, the secret key file");
	return cmd_report(sign(&signing, argv[optind], &error), &error);
}
