/* SPDX-License-Identifier: MIT */
#include "conf/preflight.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"

TestSuite(preflight, .timeout = HELPER_TIMEOUT);

/*
 * Blanks a text that lies in memory of exactly its size, so that a sanitizer
 * sees each step beyond its ends.
 */
static void check(const char *text, int line, const char *expected)
{
	char *copy = strdup(text);

	cr_expect_eq(preflight_blank_comments(copy), line, "%s", text);
	cr_expect_str_eq(copy, expected, "%s\ngives\n%s", text, copy);
	free(copy);
}

static void check_unchanged(const char *text)
{
	check(text, 0, text);
}

/* Each kind of comment becomes blanks; what stands around it stays. */
TEST(preflight, blanked)
{
	check("#", 0, " ");
	check("a # b\nc", 0, "a    \nc");
	check("a // b\nc", 0, "a     \nc");
	check("a /* b */ c", 0, "a         c");
	check("/**/a", 0, "    a");
	check("/***/a", 0, "     a");
	check("/* * / **/a", 0, "          a");
	check("a=/*b*/c,/*d*/e", 0, "a=     c,     e");
	check("a={/*b*/c}/*d*/", 0, "a={     c}     ");
	check("a#b", 0, "a  ");
	check("\"a\"//b", 0, "\"a\"   ");
	check("\"a\"/*b*/", 0, "\"a\"     ");
}

/* Lines stay lines, so that they are counted right. */
TEST(preflight, newlines_are_kept)
{
	check("# a\r\n# b\r\nc", 0, "    \n    \nc");
	check("/* a\n b\n*/c\n", 0, "    \n  \n  c\n");
	check("/*\n\n\n*/", 0, "  \n\n\n  ");
	check("#\n//\n\n", 0, " \n  \n\n");
}

/* Within quotes nothing is a comment, and an escaped quote does not end one; the line does. */
TEST(preflight, strings_are_kept)
{
	check_unchanged("");
	check_unchanged("\"# a\" '// b' \"/* c\"");
	check_unchanged("\"a\\\"# b\"");
	check_unchanged("'a\\'# b'");
	check_unchanged("\"a\\\\\"");
	check_unchanged("'# \" // '\"# ' //\"");
	check_unchanged("\"a # b\n'a # b\n\"a\\");
	check("\"a\\\\\"# b", 0, "\"a\\\\\"   ");
	check("\"a\n# b", 0, "\"a\n   ");
	check("\"a\\\n# b", 0, "\"a\\\n   ");
}

/* Within comments nothing is a quote. */
TEST(preflight, quotes_in_comments)
{
	check("# it's \"so\na", 0, "          \na");
	check("/* it's */ \"a\"", 0, "           \"a\"");
	check("// \"\n// '\n", 0, "    \n    \n");
	check("# /*\na # */", 0, "    \na     ");
	check("// /*\na", 0, "     \na");
	check("/* # */a", 0, "       a");
}

/* A slash within a bare word belongs to it. */
TEST(preflight, slashes_in_words)
{
	check_unchanged("a//b");
	check_unchanged("a/*b");
	check_unchanged("http://a/");
	check_unchanged("/ a / b");
	check_unchanged("~/a");
	check_unchanged("/");
	check("a //", 0, "a   ");
}

/* A comment that does not end is told by the line on which it begins, and blanked too. */
TEST(preflight, unclosed)
{
	check("/*", 1, "  ");
	check("/*/", 1, "   ");
	check("/* *", 1, "    ");
	check("a\n/*\n\n*\n", 2, "a\n  \n\n \n");
	check("/* a */\n\n /* b\n", 3, "       \n\n     \n");
}

/* Texts are cut at the ends of lines, but for lists; and at a setting that follows an open list. */
TEST(preflight, sizes)
{
	cr_expect_eq(preflight_size(""), 0);
	cr_expect_eq(preflight_size("\na = 1\n"), 1);
	cr_expect_eq(preflight_size("a = 1\nb = 2\n"), 6);
	cr_expect_eq(preflight_size("a = 1 b = 2\n"), 12);
	cr_expect_eq(preflight_size("a = {1,\n2}\nb = 3"), 11);
	cr_expect_eq(preflight_size("a = {1,\n b = 3}"), 9);
	cr_expect_eq(preflight_size("a = {1,\n\"b = 3\"}"), 16);
	cr_expect_eq(preflight_size("a = \"{\"\nb"), 8);
	cr_expect_eq(preflight_size("}\nb"), 2);
}

/* Checks a value, or a whole statement: its line from 1, and what is said of it; "" if nothing. */
static void check_statement(const char *name, const char *text, int line, const char *words)
{
	static struct problems problems;
	char statement[128], place[32];

	snprintf(statement, sizeof(statement), "%s%s", name, text);
	snprintf(place, sizeof(place), "f:%d: ", line);
	problems_init(&problems);
	problems_in_file(&problems, "f");
	problems.line = 1;
	if (!*words) {
		cr_expect_eq(preflight_check(statement, &problems), 0, "%s gives %s", statement,
			     problems.text[0]);
		return;
	}
	cr_expect_eq(preflight_check(statement, &problems), -EINVAL, "%s", statement);
	cr_expect(strncmp(problems.text[0], place, strlen(place)) == 0 &&
			  strstr(problems.text[0], words),
		  "%s gives %s, not %s%s", statement, problems.text[0], place, words);
}

static void check_value(const char *text, const char *words)
{
	check_statement("log_level = ", text, 1, words);
}

/* What libconfuse would pass over in silence is found. */
TEST(preflight, stray)
{
	check_value("4*", "outside of quotes");
	check_value("*", "outside of quotes");
	check_statement("", "workers + = 4", 1, "after the name");
	check_statement("", "workers * = 4", 1, "after the name");
	check_statement("listen = ", "{\n+}", 2, "outside of quotes");
	check_statement("listen = ", "{\"a\",\n\"b\" + 'c'}", 2, "outside of quotes");
	check_statement("listen = ", "{'a\\'' *}", 1, "outside of quotes");
	check_statement("listen = ", "{\"a\\\"\" *}", 1, "outside of quotes");
}

/* So are quotes that do not end with their line. */
TEST(preflight, stray_quotes)
{
	check_value("\"", "not closed");
	check_value("'", "not closed");
	check_value("\"\\", "not closed");
	check_value("\"a\\\"", "not closed");
	check_value("'a\\'", "not closed");
	check_statement("listen = ", "{\n'a\n'b'}", 2, "not closed");
	check_statement("listen = ", "{\"a\\\n}", 1, "not closed");
}

/* So are escapes by number, of which one could be the end, and variables that do not end. */
TEST(preflight, stray_in_quotes)
{
	check_value("\"\\0\"", "escape");
	check_value("\"a\\x41\"", "escape");
	check_statement("listen = ", "{\n\"b\\9\"}", 2, "escape");
	check_value("\"${A'}\"", "${");
	check_value("\"${A\"", "${");
	check_value("${A", "${");
	check_statement("listen = ", "{a,\n\"${\"}", 2, "${");
}

/* So are variables that are not set, with their names. */
TEST(preflight, stray_unset)
{
	unsetenv("ABC");
	setenv("AB", "x", 1);
	setenv("ABCD", "x", 1);
	check_statement("listen = ", "{\"${AB}\",\n\"${ABC}\"}", 2, ": ${ABC}");
	check_value("\"${AB}${ABC}\"", ": ${ABC}");
	check_value("\"\\${ABC}${ABC:+x}\"", ": ${ABC:+x}");
	check_value("${}", ": ${}");
	check_value("${A:b:-c}", ": ${A:b:-c}");
}

/* What has its meaning is none. */
TEST(preflight, not_stray)
{
	setenv("A", "", 1);
	check_statement("", "listen += 4", 1, "");
	check_statement("", "listen+={b}", 1, "");
	check_value("\"* + \"", "");
	check_value("'* +'", "");
	check_value("\"\\n\\t\\\"\\\\\"", "");
	check_value("'\\0\\x41'", "");
	check_value("\"\\\\0\"", "");
	check_value("${A}", "");
	check_value("\"${A}${B:-c}\"", "");
	check_value("'${'", "");
	check_value("\"\\${\"", "");
	check_value("\"$ $A {$}\"", "");
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
