#include "conf/comments.h"

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
	char *copy = strdup(text);

	cr_expect_eq(comments_blank(copy), line, "%s", text);
	cr_expect_str_eq(copy, expected, "%s\ngives\n%s", text, copy);
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
TEST(comments, newlines_are_kept)
{
	check("# a\r\n# b\r\nc", 0, "    \n    \nc");
	check("/* a\n b\n*/c\n", 0, "    \n  \n  c\n");
	check("/*\n\n\n*/", 0, "  \n\n\n  ");
	check("#\n//\n\n", 0, " \n  \n\n");
}

/* Within quotes nothing is a comment, and an escaped quote does not end one; the line does. */
TEST(comments, strings_are_kept)
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

/* A comment that does not end is told by the line on which it begins, and blanked too. */
TEST(comments, unclosed)
{
	check("/*", 1, "  ");
	check("/*/", 1, "   ");
	check("/* *", 1, "    ");
	check("a\n/*\n\n*\n", 2, "a\n  \n\n \n");
	check("/* a */\n\n /* b\n", 3, "       \n\n     \n");
}

static void check_stray(const char *text, int line, const char *words)
{
	char *copy = strdup(text);
	char why[COMMENTS_WHY] = "";

	cr_expect_eq(comments_find_stray(copy, why), line, "%s", text);
	cr_expect(strstr(why, words), "%s gives %s", text, why);
	free(copy);
}

/* What libconfuse would pass over in silence is found, with its line. */
TEST(comments, stray)
{
	check_stray("*", 1, "outside of quotes");
	check_stray("a = 4*", 1, "outside of quotes");
	check_stray("\n\na * b\n*", 3, "outside of quotes");
	check_stray("+", 1, "outside of quotes");
	check_stray("a + = 4", 1, "outside of quotes");
	check_stray("\"a\"\n\"b\" + 'c'", 2, "outside of quotes");
	check_stray("'a\\'' *", 1, "outside of quotes");
	check_stray("\"a\\\"\" *", 1, "outside of quotes");
}

/* So are quotes that do not end with their line. */
TEST(comments, stray_quotes)
{
	check_stray("\"", 1, "not closed");
	check_stray("'", 1, "not closed");
	check_stray("\"\\", 1, "not closed");
	check_stray("\"a\\\"", 1, "not closed");
	check_stray("'a\\'", 1, "not closed");
	check_stray("\n'a\n'", 2, "not closed");
	check_stray("\"a\\\n\"", 1, "not closed");
}

/* So are escapes by number, of which one could be the end, and variables that do not end. */
TEST(comments, stray_in_quotes)
{
	check_stray("\"\\0\"", 1, "escape");
	check_stray("\"a\\x41\"", 1, "escape");
	check_stray("\n\"b\\9\"", 2, "escape");
	check_stray("\"${A\"}", 1, "${");
	check_stray("\"${A\n}\"", 1, "${");
	check_stray("\"${A'}\"", 1, "${");
	check_stray("${A\"}", 1, "${");
	check_stray("${A", 1, "${");
	check_stray("a = 1\nb = \"${\"", 2, "${");
}

/* So are variables that are not set, with their names. */
TEST(comments, stray_unset)
{
	unsetenv("ABC");
	setenv("AB", "x", 1);
	setenv("ABCD", "x", 1);
	check_stray("${AB}\n${ABC}", 2, ": ${ABC}");
	check_stray("\"${AB}${ABC}\"", 1, ": ${ABC}");
	check_stray("\n\n\"\\${ABC}${ABC:+x}\"", 3, ": ${ABC:+x}");
	check_stray("${}", 1, ": ${}");
}

/* What has its meaning is none. */
TEST(comments, not_stray)
{
	static const char *const texts[] = {
		"",
		"a += 4",
		"a += {b}\n c+=d",
		"\"* + \" '* +'",
		"\"\\n\\t\\\"\\\\\" '\\0\\x41'",
		"\"\\\\0\"",
		"${A} \"${A}${B:-c}\" '${' '${B}'",
		"\"\\${\" $ $A {$}",
	};
	char why[COMMENTS_WHY];

	setenv("A", "", 1);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		cr_expect_eq(comments_find_stray(texts[i], why), 0, "%s", texts[i]);
}

/*
 * Of random texts: only bytes that are no newline change, and only to blanks;
 * and then there are no comments to be found.
 */
TEST(comments, random_texts)
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
		comments_blank(once);
		for (size_t k = 0; k < size; k++)
			cr_assert(once[k] == before[k] || (once[k] == ' ' && before[k] != '\n'));
		strcpy(twice, once);
		cr_assert_eq(comments_blank(twice), 0, "%s", before);
		cr_assert_str_eq(once, twice, "%s", before);
	}
}
