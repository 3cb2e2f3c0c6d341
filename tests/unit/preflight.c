/* SPDX-License-Identifier: MIT */
#include "conf/preflight.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"

TestSuite(preflight, .timeout = HELPER_TIMEOUT);

/* What is blanked in each text.  NULL: it stays as it is. */
static const struct {
	int line; /* on which a comment begins that does not end */
	const char *text, *expected;
} comments[] = {
	/* each kind of comment becomes blanks; what stands around it stays */
	{ 0, "#", " " },
	{ 0, "a # b\nc", "a    \nc" },
	{ 0, "a // b\nc", "a     \nc" },
	{ 0, "a /* b */ c", "a         c" },
	{ 0, "/**/a", "    a" },
	{ 0, "/***/a", "     a" },
	{ 0, "/* * / **/a", "          a" },
	{ 0, "a={/*b*/c}/*d*/", "a={     c}     " },
	{ 0, "a#b", "a  " },
	{ 0, "\"a\"//b", "\"a\"   " },
	{ 0, "\"a\"/*b*/", "\"a\"     " },
	/* lines stay lines, so that they are counted right */
	{ 0, "# a\r\n# b\r\nc", "    \n    \nc" },
	{ 0, "/* a\n b\n*/c\n", "    \n  \n  c\n" },
	{ 0, "/*\n\n\n*/", "  \n\n\n  " },
	{ 0, "#\n//\n\n", " \n  \n\n" },
	/* within quotes nothing is a comment, and an escaped quote does not end one; the line does
	 */
	{ 0, "", NULL },
	{ 0, "\"# a\" '// b' \"/* c\"", NULL },
	{ 0, "\"a\\\"# b\"", NULL },
	{ 0, "'a\\'# b'", NULL },
	{ 0, "'# \" // '\"# ' //\"", NULL },
	{ 0, "\"a # b\n'a # b\n\"a\\", NULL },
	{ 0, "\"a\\\\\"# b", "\"a\\\\\"   " },
	{ 0, "\"a\n# b", "\"a\n   " },
	{ 0, "\"a\\\n# b", "\"a\\\n   " },
	/* within comments nothing is a quote, or another comment */
	{ 0, "# it's \"so\na", "          \na" },
	{ 0, "/* it's */ \"a\"", "           \"a\"" },
	{ 0, "// \"\n// '\n", "    \n    \n" },
	{ 0, "# /*\na # */", "    \na     " },
	{ 0, "// /*\na", "     \na" },
	{ 0, "/* # */a", "       a" },
	/* a slash within a bare word belongs to it */
	{ 0, "a//b", NULL },
	{ 0, "a/*b", NULL },
	{ 0, "/ a / b", NULL },
	{ 0, "~/a", NULL },
	{ 0, "/", NULL },
	{ 0, "a //", "a   " },
	/* a comment that does not end is blanked, too */
	{ 1, "/*", "  " },
	{ 1, "/*/", "   " },
	{ 1, "/* *", "    " },
	{ 2, "a\n/*\n\n*\n", "a\n  \n\n \n" },
	{ 3, "/* a */\n\n /* b\n", "       \n\n     \n" },
};

/* Comments are blanked, and nothing else, in memory of exactly the size of the text. */
TEST(preflight, comments)
{
	for (size_t i = 0; i < COUNT(comments); i++) {
		char *copy = strdup(comments[i].text);
		const char *expected = comments[i].expected;

		cr_expect_eq(preflight_blank_comments(copy), comments[i].line, "row %zu", i);
		cr_expect_str_eq(copy, expected ? expected : comments[i].text, "row %zu", i);
		free(copy);
	}
}

/* What libconfuse would pass over in silence, or read in another way; "": nothing. */
static const struct {
	int line;
	const char *words, *statement;
} statements[] = {
	{ 1, "outside of quotes", "log_level = 4*" },
	{ 1, "outside of quotes", "log_level = *" },
	{ 1, "after the name", "workers + = 4" },
	{ 1, "after the name", "workers * = 4" },
	{ 2, "outside of quotes", "listen = {\n+}" },
	{ 2, "outside of quotes", "listen = {\"a\",\n\"b\" + 'c'}" },
	{ 1, "outside of quotes", "listen = {'a\\'' *}" },
	{ 1, "outside of quotes", "listen = {\"a\\\"\" *}" },
	/* quotes that do not end with their line */
	{ 1, "not closed", "log_level = \"" },
	{ 1, "not closed", "log_level = '" },
	{ 1, "not closed", "log_level = \"\\" },
	{ 1, "not closed", "log_level = \"a\\\"" },
	{ 1, "not closed", "log_level = 'a\\'" },
	{ 2, "not closed", "listen = {\n'a\n'b'}" },
	{ 1, "not closed", "listen = {\"a\\\n}" },
	/* escapes by number, of which one could be the end, and variables that do not end */
	{ 1, "escape", "log_level = \"\\0\"" },
	{ 1, "escape", "log_level = \"a\\x41\"" },
	{ 2, "escape", "listen = {\n\"b\\9\"}" },
	{ 1, "${", "log_level = \"${A'}\"" },
	{ 1, "${", "log_level = \"${A\"" },
	{ 1, "${", "log_level = ${A" },
	{ 2, "${", "listen = {a,\n\"${\"}" },
	/* variables that are not set, with their names */
	{ 2, ": ${ABC}", "listen = {\"${AB}\",\n\"${ABC}\"}" },
	{ 1, ": ${ABC}", "log_level = \"${AB}${ABC}\"" },
	{ 1, ": ${ABC:+x}", "log_level = \"\\${ABC}${ABC:+x}\"" },
	{ 1, ": ${}", "log_level = ${}" },
	{ 1, ": ${A:b:-c}", "log_level = ${A:b:-c}" },
	/* what has its meaning */
	{ 1, "", "listen += 4" },
	{ 1, "", "listen+={b}" },
	{ 1, "", "log_level = \"* + \"" },
	{ 1, "", "log_level = '* +'" },
	{ 1, "", "log_level = \"\\n\\t\\\"\\\\\"" },
	{ 1, "", "log_level = '\\0\\x41'" },
	{ 1, "", "log_level = \"\\\\0\"" },
	{ 1, "", "log_level = ${AB}" },
	{ 1, "", "log_level = \"${AB}${B:-c}\"" },
	{ 1, "", "log_level = '${'" },
	{ 1, "", "log_level = \"\\${\"" },
	{ 1, "", "log_level = \"$ $A {$}\"" },
};

/* All that libconfuse would read in another way is found, on its line. */
TEST(preflight, statements)
{
	unsetenv("ABC");
	setenv("AB", "", 1);
	setenv("ABCD", "x", 1);
	for (size_t i = 0; i < COUNT(statements); i++) {
		static struct problems problems;
		const char *words = statements[i].words;
		char statement[128], place[32];

		strcpy(statement, statements[i].statement);
		snprintf(place, sizeof(place), "f:%d: ", statements[i].line);
		problems_init(&problems);
		problems_in(&problems, "f", false);
		problems.line = 1;
		cr_expect_eq(preflight_check(statement, &problems), *words ? -EINVAL : 0, "%s",
			     statement);
		cr_expect(!*words || (strncmp(problems.text[0], place, strlen(place)) == 0 &&
				      strstr(problems.text[0], words)),
			  "%s gives %s", statement, problems.text[0]);
	}
}

/*
 * Of random texts: only bytes that are no newline change, and only to blanks;
 * and then there are no comments to be found.
 */
TEST(preflight, random_texts)
{
	static const char bytes[] = "\"'/*#\\\n a=/*";
	struct helper_random random = { 99 };
	char before[32], once[32], twice[32];

	for (int i = 0; i < 200000; i++) {
		size_t size = helper_random(&random, sizeof(before) - 1);

		for (size_t k = 0; k < size; k++)
			before[k] = bytes[helper_random(&random, sizeof(bytes) - 1)];
		before[size] = '\0';
		strcpy(once, before);
		preflight_blank_comments(once);
		for (size_t k = 0; k < size; k++)
			cr_assert(once[k] == before[k] || (once[k] == ' ' && before[k] != '\n'));
		strcpy(twice, once);
		cr_assert_eq(preflight_blank_comments(twice), 0, "%s", before);
		cr_assert_str_eq(once, twice, "%s", before);
	}
}
