/* Functions and references of a program, found without symbols, compared with what its symbols say. */
#include "build_pair.h"

#include <elf.h>

#include "program/program.h"

static const char source[] =
	"#include <stdio.h>\n#include <stdlib.h>\n"
	"#define KEEP __attribute__((noipa))\n"
	"static int counter = 3; static const int primes[8] = { 2, 3, 5, 7, 11, 13, 17, 19 };\n"
	"__attribute__((cold, noreturn, noinline)) static void die(int a) { printf(\"die %d\\n\", a); exit(a); }\n"
	"KEEP static int leaf(int a) { return primes[a & 7] + counter; }\n"
	"KEEP static int rare(int a) { if (__builtin_expect(a > 1000, 0)) { puts(\"rare\"); if (leaf(a) == 3) die(a); counter = 9; } return leaf(a) + a; }\n"
	"KEEP static int choose(int a) { switch (a) { case 0: return leaf(1); case 1: return puts(\"b\"); case 2: return rare(5);\n"
	" case 3: return leaf(77); case 4: counter = 1; return 8; case 5: return rare(a) + leaf(a); } return 0; }\n"
	"KEEP static int handler(int a) { return choose(a) * 3; }\n"
	"int (*volatile table[])(int) = { handler, leaf };\n"
	"__attribute__((constructor)) static void begin(void) { counter++; puts(\"begin\"); }\n"
	"int main(int argc, char **argv) { return table[argc & 1](argc) + rare(argc); }\n";

struct fixture {
	struct build_pair pair, named;
	struct image image, symbols;
	struct program program;
};

static uint64_t address_of(const struct fixture *fixture, const char *name)
{
	for (size_t i = 0; i < fixture->symbols.symbols.count; i++)
		if (strcmp(fixture->symbols.symbols.item[i].name, name) == 0)
			return fixture->symbols.symbols.item[i].value;
	print_error("no symbol %s\n", name);
	assert_true(false);
	return 0;
}

static struct fixture load(const char *flags)
{
	struct fixture fixture = { .pair = build_pair(source, flags, 1), .named = build_pair(source, flags, 0) };
	struct error error = { 0 };

	assert_int_equal(image_open(fixture.pair.file[0], &fixture.image, &error), STATUS_OK);
	assert_int_equal(image_open(fixture.named.file[0], &fixture.symbols, &error), STATUS_OK);
	return fixture;
}

static void unload(struct fixture *fixture)
{
	program_free(&fixture->program);
	image_close(&fixture->image);
	image_close(&fixture->symbols);
	build_pair_free(&fixture->pair);
	build_pair_free(&fixture->named);
}

static const char *const kinds[] = { "-O2 -fPIE -pie -freorder-blocks-and-partition", "-O2 -fno-pie -no-pie -freorder-blocks-and-partition" };

static void check_functions(struct fixture *fixture)
{
	const struct program *program = &fixture->program;
	uint32_t rare = program_function(program, address_of(fixture, "rare"));

	/* Every function symbol is an entry, but for the cold parts, which belong to their parents. */
	for (size_t i = 0; i < fixture->symbols.symbols.count; i++) {
		const struct symbol *symbol = &fixture->symbols.symbols.item[i];
		uint32_t function;

		if (symbol->type != STT_FUNC || !symbol->defined || !symbol->size)
			continue;
		function = program_function(program, symbol->value);
		assert_int_not_equal(function, NO_FUNCTION);
		if (strstr(symbol->name, ".cold")) {
			char *parent = text_format("%.*s", (int)(strstr(symbol->name, ".cold") - symbol->name), symbol->name);

			assert_int_equal(function, program_function(program, address_of(fixture, parent)));
			assert_int_equal(program->functions.item[function].entry, address_of(fixture, parent));
			free(parent);
		} else {
			assert_int_equal(program->functions.item[function].entry, symbol->value);
		}
	}
	assert_int_equal(program->functions.item[rare].parts.count, 2);
}

static void check_startup(struct fixture *fixture)
{
	const struct program *program = &fixture->program;

	assert_true(program->functions.item[program_function(program, address_of(fixture, "main"))].startup);
	assert_true(program->functions.item[program_function(program, address_of(fixture, "begin"))].startup);
	assert_true(program->functions.item[program_function(program, fixture->image.entry)].startup);
	assert_false(program->functions.item[program_function(program, address_of(fixture, "handler"))].startup);
	assert_false(program->functions.item[program_function(program, address_of(fixture, "rare"))].startup);
}

/* leaf() refers to exactly two items of data; the table to two functions; puts has a stub. */
static void check_references(struct fixture *fixture)
{
	const struct program *program = &fixture->program;
	const struct code_range *leaf = program_range(program, address_of(fixture, "leaf"));
	bool counter = false, primes = false, stub = false;
	const struct data_ref *first = program_data_ref(program, address_of(fixture, "table"));

	for (uint32_t i = 0; i < leaf->ref_count; i++) {
		const struct code_ref *ref = &program->refs.item[leaf->first_ref + i];

		counter = counter || ref->target == address_of(fixture, "counter");
		primes = primes || ref->target == address_of(fixture, "primes");
		assert_true(ref->where > ref->insn && ref->where + ref->size <= leaf->span.end && ref->tail >= ref->size);
	}
	assert_true(counter && primes);
	assert_non_null(first);
	assert_int_equal(first->target, address_of(fixture, "handler"));
	assert_null(program_data_ref(program, address_of(fixture, "table") + 4));
	for (size_t i = 0; i < program->refs.count && !stub; i++) {
		const struct relocation *slot = program_stub(program, program->refs.item[i].target);

		stub = slot && slot->symbol && strcmp(slot->symbol, "puts") == 0;
	}
	assert_true(stub);
	assert_true(program_item_end(program, address_of(fixture, "primes")) <= address_of(fixture, "primes") + 64);
}

static void test_program(void **unused)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct fixture fixture = load(kinds[i]);
		struct error error = { 0 };

		assert_int_equal(program_load(&fixture.image, &fixture.program, &error), STATUS_OK);
		check_functions(&fixture);
		check_startup(&fixture);
		check_references(&fixture);
		unload(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program),
	};

	return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
