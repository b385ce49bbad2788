/*
 * explain.c: what changed in one function, so that a person can judge it.
 *
 * Old and new code are decoded side by side. As long as only fields differ (immediates, displacements,
 * references), the kind of field says what the change is; anything else is a change of code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff/comparison.h"

struct step {
	struct insn insn;
	uint64_t address;
	const uint8_t *code;
	const struct code_ref *ref;	/* its references, or NULL */
	uint32_t refs;
};

struct steps {
	struct step *item;
	size_t count, room;
};

struct explanation {
	struct comparison *comparison;
	struct steps old, new;		/* of the part being looked at */
	bool found[CHANGE_COUNT];
	char *detail[CHANGE_COUNT];	/* of the first finding of each kind */
	uint64_t entry;
};

static void find_change(struct explanation *explanation, enum change change, char *detail)
{
	explanation->found[change] = true;
	if (explanation->detail[change] || !detail)
		free(detail);
	else
		explanation->detail[change] = detail;
}

static void decode_part(const struct program *program, const struct code_range *range, struct steps *steps)
{
	const uint8_t *code = program_code(program, range);
	uint32_t next = range->first_ref, end = range->first_ref + range->ref_count;
	struct step step;

	for (step.address = range->span.start; step.address < range->span.end; step.address += step.insn.length) {
		step.code = code + (step.address - range->span.start);
		if (!program->image->arch->decode(step.code, range->span.end - step.address, step.address, &step.insn))
			break;
		step.ref = &program->refs.item[next];
		for (step.refs = 0; next < end && program->refs.item[next].insn == step.address; next++)
			step.refs++;
		*array_add(steps) = step;
	}
}

/* Printable ASCII of a text, cut: it goes to terminals. free() it. */
static char *quoted(const char *text)
{
	char *copy = text_format("\"%.48s%s\"", text, strlen(text) > 48 ? "..." : "");

	for (char *at = copy; *at; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = '.';
	return copy;
}

/* "src/mux_h2.c:6597" and "src/mux_h2.c:6603" in otherwise equal texts: numbers behind ".c:" and the like. */
static bool differ_in_lines_only(const char *a, const char *b)
{
	bool behind_file = false;

	while (*a || *b) {
		bool digit_a = *a >= '0' && *a <= '9', digit_b = *b >= '0' && *b <= '9';

		if (behind_file && digit_a && digit_b) {
			a += strspn(a, "0123456789");
			b += strspn(b, "0123456789");
			behind_file = false;
			continue;
		}
		if (*a != *b)
			return false;
		behind_file = *a == ':' && a[-1] != ':' && (a[-1] == 'c' || a[-1] == 'h' || a[-1] == 'p' || a[-1] == 'C');
		a++, b++;
	}
	return true;
}

static bool is_source_name(const char *text)
{
	static const char *const endings[] = { ".c", ".h", ".cc", ".hh", ".cpp", ".hpp", ".cxx", ".C", ".y", ".l", ".inc" };
	const char *dot = strrchr(text, '.');

	for (size_t i = 0; dot && i < sizeof(endings) / sizeof(*endings); i++)
		if (strcmp(dot, endings[i]) == 0)
			return !strpbrk(text, " \n%");
	return false;
}

static bool loads_source_name(const struct explanation *explanation, const struct step *step)
{
	for (uint32_t i = 0; i < step->refs; i++) {
		const char *text = step->ref[i].kind == REF_ADDRESS || step->ref[i].kind == REF_ABSOLUTE
					   ? text_at(explanation->comparison->old.image, step->ref[i].target) : NULL;

		if (text && is_source_name(text))
			return true;
	}
	return false;
}

/*
 * An immediate is a line number when the same straight run of code also loads the name of a source file, up to
 * and with the call that both are arguments of.
 */
static bool is_line_number(const struct explanation *explanation, size_t at, uint64_t old_value, uint64_t new_value)
{
	const struct steps *steps = &explanation->old;
	size_t first = at, last = at;
	bool named = false;

	if (!old_value || old_value > 200000 || !new_value || new_value > 200000)
		return false;
	while (first > 0 && (steps->item[first - 1].insn.kind == INSN_OTHER || steps->item[first - 1].insn.kind == INSN_NOP))
		first--;
	while (last < steps->count && (steps->item[last].insn.kind == INSN_OTHER || steps->item[last].insn.kind == INSN_NOP))
		last++;
	if (last == steps->count || (steps->item[last].insn.kind != INSN_CALL && steps->item[last].insn.kind != INSN_CALL_INDIRECT))
		return false;
	for (size_t i = first; i < last; i++)
		named = named || loads_source_name(explanation, &steps->item[i]);
	return named;
}

static uint64_t number_at(const struct step *step, struct insn_number number)
{
	uint64_t value = 0;

	memcpy(&value, step->code + number.offset, number.size);
	return value;
}

static void compare_reference(struct explanation *explanation, const struct code_ref *x, const struct code_ref *y)
{
	struct comparison *comparison = explanation->comparison;
	const char *a, *b;
	uint32_t f, g;
	char *first = NULL, *second = NULL;

	switch (references_compare(comparison, x->target, y->target, x->kind, x->access)) {
	case SAME:
		return;
	case DIFFERENT_STRING:
		a = text_at(comparison->old.image, x->target);
		b = text_at(comparison->new.image, y->target);
		if (a && b && differ_in_lines_only(a, b)) {
			find_change(explanation, CHANGE_LINE, NULL);
			return;
		}
		if (a && b) {
			first = quoted(a);
			second = quoted(b);
		}
		find_change(explanation, CHANGE_STRING, first ? text_format("%s became %s", first, second) : NULL);
		break;
	case DIFFERENT_CONSTANT:
		find_change(explanation, CHANGE_DATA, text_format("the constant at 0x%lx (now 0x%lx) differs", (unsigned long)x->target,
								  (unsigned long)y->target));
		break;
	case DIFFERENT_VARIABLE:
		find_change(explanation, CHANGE_CALLEES, text_format("refers to other data: 0x%lx became 0x%lx", (unsigned long)x->target,
								     (unsigned long)y->target));
		break;
	case DIFFERENT_CALLEE:
		f = program_function(&comparison->old, x->target);
		g = program_function(&comparison->new, y->target);
		if (f != NO_FUNCTION && g != NO_FUNCTION) {
			first = program_function_name(&comparison->old, f);
			second = program_function_name(&comparison->new, g);
		}
		find_change(explanation, CHANGE_CALLEES, first ? text_format("%s became %s", first, second) : NULL);
		break;
	}
	free(first);
	free(second);
}

static void compare_numbers(struct explanation *explanation, size_t at, const struct step *x, const struct step *y)
{
	uint64_t old_value = number_at(x, x->insn.immediate), new_value = number_at(y, y->insn.immediate);
	uint64_t old_place = number_at(x, x->insn.displacement), new_place = number_at(y, y->insn.displacement);
	unsigned long offset = (unsigned long)(x->address - explanation->entry);

	/* Fields that are references were compared as such. */
	for (uint32_t i = 0; i < x->refs; i++) {
		if (x->insn.immediate.size && x->ref[i].where == x->address + x->insn.immediate.offset)
			new_value = old_value;
		if (x->insn.displacement.size && x->ref[i].where == x->address + x->insn.displacement.offset)
			new_place = old_place;
	}
	if (old_value != new_value) {
		bool line = is_line_number(explanation, at, old_value, new_value);

		find_change(explanation, line ? CHANGE_LINE : CHANGE_CONSTANT,
			    text_format("0x%lx became 0x%lx at +0x%lx", (unsigned long)old_value, (unsigned long)new_value, offset));
	}
	if (old_place == new_place)
		return;
	find_change(explanation, x->insn.on_stack || x->insn.thread_local_access ? CHANGE_CODE : CHANGE_DISPLACEMENT,
		    text_format("displacement 0x%lx became 0x%lx at +0x%lx", (unsigned long)old_place, (unsigned long)new_place, offset));
}

/* Same instruction but for the values of its fields? */
static bool same_form(const struct step *x, const struct step *y)
{
	uint8_t a[16], b[16];

	if (x->insn.length != y->insn.length || x->insn.kind != y->insn.kind || x->refs != y->refs ||
	    memcmp(&x->insn.immediate, &y->insn.immediate, sizeof(struct insn_number)) != 0 ||
	    memcmp(&x->insn.displacement, &y->insn.displacement, sizeof(struct insn_number)) != 0)
		return false;
	memcpy(a, x->code, x->insn.length);
	memcpy(b, y->code, y->insn.length);
	for (uint32_t i = 0; i < x->refs; i++) {
		size_t field = x->ref[i].where - x->address;

		if (field != y->ref[i].where - y->address || x->ref[i].size != y->ref[i].size || x->ref[i].kind != y->ref[i].kind)
			return false;
		memset(a + field, 0, x->ref[i].size);
		memset(b + field, 0, x->ref[i].size);
	}
	memset(a + x->insn.immediate.offset, 0, x->insn.immediate.size);
	memset(b + x->insn.immediate.offset, 0, x->insn.immediate.size);
	memset(a + x->insn.displacement.offset, 0, x->insn.displacement.size);
	memset(b + x->insn.displacement.offset, 0, x->insn.displacement.size);
	return memcmp(a, b, x->insn.length) == 0;
}

static void compare_part(struct explanation *explanation)
{
	const struct steps *old = &explanation->old, *new = &explanation->new;

	if (old->count != new->count) {
		find_change(explanation, CHANGE_CODE, text_format("%zu instructions became %zu", old->count, new->count));
		return;
	}
	for (size_t i = 0; i < old->count; i++) {
		const struct step *x = &old->item[i], *y = &new->item[i];

		if (!same_form(x, y)) {
			find_change(explanation, CHANGE_CODE,
				    text_format("instructions differ at +0x%lx", (unsigned long)(x->address - explanation->entry)));
			return;
		}
		for (uint32_t k = 0; k < x->refs; k++)
			compare_reference(explanation, &x->ref[k], &y->ref[k]);
		compare_numbers(explanation, i, x, y);
	}
}

void change_explain(struct comparison *comparison, uint32_t old_function, struct patch_function *out)
{
	const struct function *f = &comparison->old.functions.item[old_function];
	const struct function *g = &comparison->new.functions.item[comparison->new_of[old_function]];
	struct explanation explanation = { .comparison = comparison, .entry = f->entry };

	if (f->parts.count != g->parts.count)
		find_change(&explanation, CHANGE_CODE, text_format("%zu parts became %zu", f->parts.count, g->parts.count));
	/* As long as the forms agree, a place inside the function (cold part, jump table) is the same place. What the
	 * comparison remembers of constants under this assumption is forgotten again. */
	bool alike = comparison->alike[old_function];

	comparison->alike[old_function] = true;
	memo_free(&comparison->constants);
	for (size_t i = 0; i < f->parts.count && f->parts.count == g->parts.count; i++) {
		decode_part(&comparison->old, &comparison->old.ranges.item[f->parts.item[i]], &explanation.old);
		decode_part(&comparison->new, &comparison->new.ranges.item[g->parts.item[i]], &explanation.new);
		compare_part(&explanation);
		explanation.old.count = explanation.new.count = 0;
	}
	comparison->alike[old_function] = alike;
	memo_free(&comparison->constants);
	array_free(&explanation.old);
	array_free(&explanation.new);

	/* The first kind in the order of the enum; line numbers count only where there is nothing else. */
	out->change = CHANGE_LINE;
	for (int change = CHANGE_COUNT - 1; change >= 0; change--)
		if (explanation.found[change] && change != CHANGE_LINE)
			out->change = (enum change)change;
	for (int change = 0; change < CHANGE_COUNT; change++)
		if (change == (int)out->change)
			out->detail = explanation.detail[change];
		else
			free(explanation.detail[change]);
}
