/*
 * explain.c: what changed in one function, so that a person can judge it.
 *
 * Old and new code are decoded side by side. As long as only fields differ (immediates, displacements,
 * references), the kind of field says what the change is; anything else is a change of code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/frame.h"
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
	bool thread_local_moved;
	bool frame_resized;
	bool otherwise;			/* there is more than that, and places in the frame, and line numbers */
};

static void note_change(struct explanation *explanation, enum change change, char *detail)
{
	explanation->found[change] = true;
	if (explanation->detail[change] || !detail)
		free(detail);
	else
		explanation->detail[change] = detail;
}

static void find_change(struct explanation *explanation, enum change change, char *detail)
{
	explanation->otherwise = explanation->otherwise || change != CHANGE_LINE;
	note_change(explanation, change, detail);
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

/* Does [start, end) end like the name of a source file? */
static bool is_source_name(const char *start, const char *end)
{
	static const char *const endings[] = { ".c", ".h", ".cc", ".hh", ".cpp", ".hpp", ".cxx", ".hxx", ".C", ".H", ".y", ".l", ".inc" };

	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		size_t length = strlen(endings[i]);

		if ((size_t)(end - start) > length && memcmp(end - length, endings[i], length) == 0)
			return true;
	}
	return false;
}

/* "at src/mux_h2.c:6597" and "at src/mux_h2.c:6603": texts that differ only in numbers behind the name of a source file. */
static bool differ_in_lines_only(const char *a, const char *b)
{
	const char *start = a;
	bool found = false;

	while (*a || *b) {
		if (*a == ':' && *b == ':' && is_source_name(start, a) && a[1] >= '0' && a[1] <= '9' && b[1] >= '0' && b[1] <= '9') {
			a += 1 + strspn(a + 1, "0123456789");
			b += 1 + strspn(b + 1, "0123456789");
			found = true;
			continue;
		}
		if (*a != *b)
			return false;
		a++, b++;
	}
	return found;
}

static bool loads_source_name(const struct explanation *explanation, const struct step *step)
{
	for (uint32_t i = 0; i < step->refs; i++) {
		const char *text = step->ref[i].kind == REF_ADDRESS || step->ref[i].kind == REF_ABSOLUTE
					   ? text_at(explanation->comparison->old.image, step->ref[i].target) : NULL;

		if (text && is_source_name(text, text + strlen(text)) && !strpbrk(text, " \n%"))
			return true;
	}
	return false;
}

/* The argument that the instruction sets and that nothing changes any more up to the call at `call`; -1 when there is none. */
static int sets_argument(const struct explanation *explanation, size_t at, size_t call)
{
	const struct arch *arch = explanation->comparison->old.image->arch;
	const struct step *steps = explanation->old.item;

	for (int argument = 0; argument < arch->argument_count; argument++) {
		uint64_t bit = UINT64_C(1) << arch->argument[argument];
		bool last = true;

		if (steps[at].insn.clobbers != bit)
			continue;
		for (size_t i = at + 1; i < call; i++)
			last = last && !(steps[i].insn.clobbers & bit);
		return last ? argument : -1;
	}
	return -1;
}

/*
 * An immediate is a line number when it is set as an argument of a call, in a straight run of code that sets the argument before it
 * to the name of a source file (assert, logging, allocators: always file, then line).
 */
static bool is_line_number(const struct explanation *explanation, size_t at, uint64_t old_value, uint64_t new_value)
{
	const struct steps *steps = &explanation->old;
	size_t first = at, call = at;
	int argument;

	if (!old_value || old_value > 200000 || !new_value || new_value > 200000)
		return false;
	while (first > 0 && (steps->item[first - 1].insn.kind == INSN_OTHER || steps->item[first - 1].insn.kind == INSN_NOP))
		first--;
	while (call < steps->count && (steps->item[call].insn.kind == INSN_OTHER || steps->item[call].insn.kind == INSN_NOP))
		call++;
	if (call == steps->count || (steps->item[call].insn.kind != INSN_CALL && steps->item[call].insn.kind != INSN_CALL_INDIRECT))
		return false;
	argument = sets_argument(explanation, at, call);
	for (size_t i = first; argument > 0 && i < call; i++)
		if (loads_source_name(explanation, &steps->item[i]) && sets_argument(explanation, i, call) == argument - 1)
			return true;
	return false;
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

	switch (code_refs_compare(comparison, x, y)) {
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

/* sub $size, %rsp, and what takes it back */
static bool makes_frame(const struct explanation *explanation, const struct step *step)
{
	struct insn_effect effect;

	return explanation->comparison->old.image->arch->effect(step->code, step->insn.length, step->address, &effect) &&
	       effect.kind == EFFECT_MOVE && effect.target == REGISTER_STACK_POINTER && effect.source == REGISTER_STACK_POINTER;
}

static void compare_immediates(struct explanation *explanation, size_t at, const struct step *x, uint64_t old_value, uint64_t new_value)
{
	char *detail = text_format("0x%lx became 0x%lx at +0x%lx", (unsigned long)old_value, (unsigned long)new_value,
				   (unsigned long)(x->address - explanation->entry));

	if (makes_frame(explanation, x)) {
		explanation->frame_resized = true;
		note_change(explanation, CHANGE_CONSTANT, detail);
	} else {
		find_change(explanation, is_line_number(explanation, at, old_value, new_value) ? CHANGE_LINE : CHANGE_CONSTANT, detail);
	}
}

static void compare_displacements(struct explanation *explanation, const struct step *x, uint64_t old_place, uint64_t new_place)
{
	char *detail = text_format("displacement 0x%lx became 0x%lx at +0x%lx", (unsigned long)old_place, (unsigned long)new_place,
				   (unsigned long)(x->address - explanation->entry));

	explanation->thread_local_moved = explanation->thread_local_moved || x->insn.thread_local_access;
	if (x->insn.on_stack)
		note_change(explanation, CHANGE_CODE, detail);
	else
		find_change(explanation, x->insn.thread_local_access ? CHANGE_CODE : CHANGE_DISPLACEMENT, detail);
}

static void compare_numbers(struct explanation *explanation, size_t at, const struct step *x, const struct step *y)
{
	uint64_t old_value = number_at(x, x->insn.immediate), new_value = number_at(y, y->insn.immediate);
	uint64_t old_place = number_at(x, x->insn.displacement), new_place = number_at(y, y->insn.displacement);

	/* Fields that are references were compared as such. */
	for (uint32_t i = 0; i < x->refs; i++) {
		if (x->insn.immediate.size && x->ref[i].where == x->address + x->insn.immediate.offset)
			new_value = old_value;
		if (x->insn.displacement.size && x->ref[i].where == x->address + x->insn.displacement.offset)
			new_place = old_place;
	}
	if (old_value != new_value)
		compare_immediates(explanation, at, x, old_value, new_value);
	if (old_place != new_place)
		compare_displacements(explanation, x, old_place, new_place);
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

static void compare_part(struct explanation *explanation, const struct code_range *a, const struct code_range *b)
{
	const struct steps *old = &explanation->old, *new = &explanation->new;

	if (!a->decoded || !b->decoded) {
		find_change(explanation, CHANGE_CODE, text_format("data among its instructions differs"));
		return;
	}
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

/* For the checks of layouts. */
static void note_layout(struct layout_signs *signs, const char *name, const char *detail)
{
	if (!signs->count++)
		signs->first = text_format("%s: %s", name, detail ? detail : "");
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
		const struct code_range *a = &comparison->old.ranges.item[f->parts.item[i]];
		const struct code_range *b = &comparison->new.ranges.item[g->parts.item[i]];

		decode_part(&comparison->old, a, &explanation.old);
		decode_part(&comparison->new, b, &explanation.new);
		compare_part(&explanation, a, b);
		if (!handlers_alike(comparison, a, b) || handlers_compare(comparison, a, b))
			find_change(&explanation, CHANGE_CODE, text_copy("exceptions are handled in another way"));
		explanation.old.count = explanation.new.count = 0;
	}
	comparison->alike[old_function] = alike;
	memo_free(&comparison->constants);
	array_free(&explanation.old);
	array_free(&explanation.new);

	/* The first kind in the order of the enum; line numbers count only where there is nothing else. */
	out->change = explanation.found[CHANGE_LINE] ? CHANGE_LINE : CHANGE_CODE;
	for (int change = CHANGE_COUNT - 1; change >= 0; change--)
		if (explanation.found[change] && change != CHANGE_LINE)
			out->change = (enum change)change;
	if (explanation.found[CHANGE_DISPLACEMENT])
		note_layout(&comparison->displaced, out->name, explanation.detail[CHANGE_DISPLACEMENT]);
	if (explanation.frame_resized && !explanation.otherwise)
		note_layout(&comparison->reframed, out->name, explanation.detail[CHANGE_CONSTANT]);
	if (explanation.thread_local_moved && !comparison->thread_local_moved)
		comparison->thread_local_moved = text_copy(out->name);
	for (int change = 0; change < CHANGE_COUNT; change++)
		if (change == (int)out->change)
			out->detail = explanation.detail[change];
		else
			free(explanation.detail[change]);
}
