/* SPDX-License-Identifier: MIT */
#include "echoc/runs.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "echoc/record.h"

/* Takes an object over.  Returns NULL, or why it cannot be. */
static const char *add(struct runs *runs, json_t *o)
{
	const char *type = json_string_value(json_object_get(o, "type"));
	json_t *last = runs->n ? runs->at[runs->n - 1].result : NULL;
	json_t *lines = runs->n ? runs->at[runs->n - 1].lines : NULL;

	if (!type || strcmp(type, "start") == 0) {
		const json_t *version = json_object_get(o, "schema_version");

		if (runs->n == RUNS_MAX || !version)
			return "not a result of echoc, or too many";
		if (json_integer_value(version) != RECORD_SCHEMA)
			return "written by another version of echoc";
		runs->at[runs->n].result = json_incref(o);
		runs->at[runs->n++].lines = type ? json_array() : NULL;
		return NULL;
	}
	if (!lines)
		return "a stream without its start";
	if (strcmp(type, "end") == 0)
		json_object_update(last, o);
	else
		json_array_append(lines, o);
	return NULL;
}

static int skip_blanks(FILE *in)
{
	int c;

	do
		c = getc(in);
	while (isspace(c));
	return c == EOF ? EOF : ungetc(c, in);
}

int runs_read(struct runs *runs, const char *path)
{
	FILE *in = fopen(path, "re");
	const char *wrong = in ? NULL : strerror(errno);

	*runs = (struct runs){ .path = path };
	while (!wrong && skip_blanks(in) != EOF) {
		json_error_t error;
		json_t *o = json_loadf(in, JSON_DISABLE_EOF_CHECK, &error);

		wrong = json_is_object(o) ? add(runs, o) : "not JSON, or cut off";
		json_decref(o);
	}
	if (in)
		fclose(in);
	if (!wrong && runs->n == 0)
		wrong = "it is empty";
	if (!wrong)
		return 0;
	fprintf(stderr, "echoc: %s: %s\n", path, wrong);
	return -1;
}

void runs_free(struct runs *runs)
{
	for (size_t i = 0; i < runs->n; i++) {
		json_decref(runs->at[i].result);
		json_decref(runs->at[i].lines);
	}
	runs->n = 0;
}

double runs_number(const json_t *object, const char *group, const char *name)
{
	const json_t *of = group ? json_object_get(object, group) : object;
	const json_t *number = json_object_get(of, name);

	return json_is_number(number) ? json_number_value(number) : NAN;
}
