/* check_json.c: the census of stent check as JSON. */
#include <jansson.h>
#include <stdlib.h>

#include "cmd/census.h"

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *contradiction_json(const struct census *census, const struct contradiction *found)
{
	const uint8_t *code = image_bytes(&census->image, found->address, 1);
	const struct row *row = rows_find(census->rows, found->address);
	char *place = census_place(census, found->address);
	char text[96] = "";
	json_t *json;

	/* The text ends with the FDE at the latest, and with it the segment that image_bytes() found. */
	if (code && row)
		(void)census->image.arch->print(code, row_end(census->rows, row) - found->address, found->address, text, sizeof(text));
	json = json_pack("{s:I, s:I, s:I, s:s*, s:s, s:s, s:s, s:s}", "address", (json_int_t)found->address, "from",
			 (json_int_t)found->from, "fde", (json_int_t)found->fde, "function", place, "instruction", text, "subject",
			 found->subject, "claimed", found->claimed, "computed", found->computed);
	free(place);
	return json;
}

static json_t *refusals_json(const struct refusals *refusals)
{
	json_t *json = json_object();

	for (size_t i = 0; i < refusals->count && json; i++)
		if (json_object_set_new(json, refusals->item[i].why, number(refusals->item[i].count))) {
			json_decref(json);
			return NULL;
		}
	return json;
}

bool census_add_json(json_t *array, const char *path, const struct census *census)
{
	const struct validation *validation = &census->validation;
	json_t *reasons = json_object(), *found = json_array(), *switches = json_array();
	json_t *refusals = refusals_json(&census->refusals), *flagged = refusals_json(&census->flagged);
	bool good = reasons && found && refusals && flagged && switches;
	json_t *file;

	for (int i = 0; i < REASON_COUNT && good; i++)
		if (validation->reasons[i])
			good = !json_object_set_new(reasons, row_reason_text((enum row_reason)i), number(validation->reasons[i]));
	for (size_t i = 0; i < validation->contradictions.count && good; i++)
		good = !json_array_append_new(found, contradiction_json(census, &validation->contradictions.item[i]));
	for (size_t i = 0; i < validation->switches.count && good; i++)
		good = !json_array_append_new(switches, number(validation->switches.item[i]));

	/* The lists are the new object's, also when it can't be made. */
	file = json_pack("{s:s, s:s, s:s*, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:o, s:I, s:o}", "file", path, "image",
			 census->image.name, "damage", census->rows->damage, "fdes", (json_int_t)validation->fdes, "fdes_exact",
			 (json_int_t)validation->fdes_exact, "fdes_contradicted", (json_int_t)validation->fdes_contradicted, "rows",
			 (json_int_t)validation->rows, "exact", (json_int_t)validation->exact, "unverifiable",
			 (json_int_t)validation->unverifiable, "contradicted", (json_int_t)validation->contradicted, "text",
			 (json_int_t)validation->text, "uncovered", (json_int_t)validation->uncovered, "reasons", reasons,
			 "contradictions", found, "switches", switches, "functions", (json_int_t)census->functions, "redirectable",
			 (json_int_t)census->redirectable, "not_redirectable", refusals, "agreeing",
			 (json_int_t)census->agreeing, "not_agreeing", flagged);
	return good && file && !json_array_append_new(array, file);
}
