#include "comments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"

TestSuite(comments, .timeout = HELPER_TIMEOUT);

/*
 * Blanks a text that lies in memory of exactly its size, so that a sanitizer
 * sees each step beyond its ends.
 */
static void check(const char *text, int line, const char *expected)
{
	size_t size = strlen(text);
	char *copy = malloc(size + !size);

	memcpy(copy, text, size);
	cr_expect_eq(comments_blank(copy, size), line, "%s", text);
	cr_expect_eq(strlen(expected), size, "this test is wrong");
	cr_expect_eq(memcmp(copy, expected, size), 0, "%s\ngives\n%.*s", text, (int)size, copy);
	free(copy);
}

static void check_unchanged(const char *text)
{
	check(text, 0, text);
}

/* Each kind of comment becomes blanks; what stands around it stays. */
TEST(comments, blanked)
{
	check("#", 0, " ");
	check("a # b\nc", 0, "a    \nc");
	check("a // b\nc", 0, "a     \nc");
	check("a/* b", 0, "a/* b");
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

/* Lines stay lines, so that libconfuse counts them right. */
TEST(comments, newlines_are_kept)
{
	check("# a\r\n# b\r\nc", 0, "    \n    \nc");
	check("/* a\n b\n*/c\n", 0, "    \n  \n  c\n");
	check("/*\n\n\n*/", 0, "  \n\n\n  ");
	check("#\n//\n\n", 0, " \n  \n\n");
}

/* Within strings nothing is a comment, and an escaped quote does not end one. */
TEST(comments, strings_are_kept)
{
	check_unchanged("");
	check_unchanged("\"# a\" '// b' \"/* c\"");
	check_unchanged("\"a\\\"# b\"");
	check_unchanged("'a\\'# b'");
	check_unchanged("\"a\\\\\"");
	check_unchanged("'# \" // '\"# ' //\"");
	check_unchanged("\"a\nb # c\"");
	check("\"a\\\\\"# b", 0, "\"a\\\\\"   ");
}

/* Within comments nothing is a string. */
TEST(comments, quotes_in_comments)
{
	check("# it's \"so\na", 0, "          \na");
	check("/* it's */ \"a\"", 0, "           \"a\"");
	check("// \"\n// '\n", 0, "    \n    \n");
	check("# /*\na # */", 0, "    \na     ");
	check("// /*\na", 0, "     \na");
	check("/* # */a", 0, "       a");
}

/* A slash within a bare word belongs to it. */
TEST(comments, slashes_in_words)
{
	check_unchanged("a//b");
	check_unchanged("a/*b");
	check_unchanged("http://a/");
	check_unchanged("/ a / b");
	check_unchanged("~/a");
	check_unchanged("/");
	check("a //", 0, "a   ");
}

/* What does not end is told by the line on which it begins. */
TEST(comments, unterminated)
{
	static const struct {
		const char *text;
		int line;
	} cases[] = {
		{ "\"", 1 },
		{ "'", 1 },
		{ "/*", 1 },
		{ "/*/", 1 },
		{ "/* *", 1 },
		{ "\"a\\", 1 },
		{ "\"a\\\"", 1 },
		{ "'a\\'", 1 },
		{ "\n\n'a\n\n", 3 },
		{ "\n/*\n\n*\n", 2 },
		{ "# '\n// \"\n\"a", 3 },
		{ "'a' \"b\" 'c\n", 1 },
		{ "\"a\nb\" 'c", 2 },
		{ "/* a\n\n */\n \"", 4 },
		{ "\"\\\n\n'", 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char copy[64];

		strcpy(copy, cases[i].text);
		cr_expect_eq(comments_blank(copy, strlen(copy)), cases[i].line, "%s",
			     cases[i].text);
	}
}

static void check_stray(const char *text, int line)
{
	size_t size = strlen(text);
	char *copy = malloc(size + !size);

	memcpy(copy, text, size);
	cr_expect_eq(comments_find_stray(copy, size), line, "%s", text);
	free(copy);
}

/* What libconfuse would pass over in silence is found, with its line. */
TEST(comments, stray)
{
	check_stray("*", 1);
	check_stray("a = *4", 1);
	check_stray("a = 4*", 1);
	check_stray("\n\na * b\n*", 3);
	check_stray("+", 1);
	check_stray("a = 4 +", 1);
	check_stray("a + = 4", 1);
	check_stray("a = \"b\nc\"\n+ d", 3);
	check_stray("\"a\" * \"b\"", 1);
	check_stray("'a\\'' *", 1);
	check_stray("\"a\\\"\" *", 1);
	check_stray("\"a\\\nb\" *", 2);
}

/* So are escapes by number, of which one could be the end, and variables that do not end. */
TEST(comments, stray_in_strings)
{
	check_stray("\"\\0\"", 1);
	check_stray("\"a\\x41\"", 1);
	check_stray("\"a\nb\\9\"", 2);
	check_stray("\"${A\"}", 1);
	check_stray("\"${A\n}\"", 1);
	check_stray("\"${A'}\"", 1);
	check_stray("${A\"}", 1);
	check_stray("${A", 1);
	check_stray("a = 1\nb = \"${\"", 2);
}

/* What has its meaning is none. */
TEST(comments, not_stray)
{
	check_stray("", 0);
	check_stray("a += 4", 0);
	check_stray("a += {b}\n c+=d", 0);
	check_stray("\"* + \" '* +'", 0);
	check_stray("\"\\n\\t\\\"\\\\\" '\\0\\x41'", 0);
	check_stray("\"\\\\0\"", 0);
	check_stray("${A} \"${A}${B:-c}\" '${'", 0);
	check_stray("\"\\${\" $ $A {$}", 0);
	check_stray("a = \"b\\\nc\" d = \"\\\\\"", 0);
}

/* The size ends the text, not a NUL byte, and no byte beyond it is touched. */
TEST(comments, size)
{
	char text[] = "a # b # c";

	cr_assert_eq(comments_blank(text, 4), 0);
	cr_assert_str_eq(text, "a   b # c");
	cr_assert_eq(comments_blank(text, 0), 0);
	cr_assert_str_eq(text, "a   b # c");
}

/*
 * Of random texts: only bytes that are no newline change, and only to blanks;
 * and in a text without comments there are none to be found.
 */
TEST(comments, random_texts)
{
	static const char bytes[] = "\"'/*#\\\n a=/*";
	struct helper_random random = { 99 };
	char before[32], once[32], twice[32];

	for (int i = 0; i < 200000; i++) {
		size_t size = helper_random(&random, sizeof(before));
		int line;

		for (size_t k = 0; k < size; k++)
			before[k] = bytes[helper_random(&random, sizeof(bytes) - 1)];
		memcpy(once, before, size);
		line = comments_blank(once, size);
		for (size_t k = 0; k < size; k++)
			cr_assert(once[k] == before[k] || (once[k] == ' ' && before[k] != '\n'));
		memcpy(twice, once, size);
		if (line == 0)
			cr_assert_eq(comments_blank(twice, size), 0, "%.*s", (int)size, before);
		if (line == 0)
			cr_assert_eq(memcmp(once, twice, size), 0, "%.*s", (int)size, before);
	}
}
