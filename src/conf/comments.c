#include "conf/comments.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *comments_skip_quoted(const char *text)
{
	const char *at = text + 1;

	while (*at && *at != '\n' && *at != *text)
		at += *at == '\\' && at[1] && at[1] != '\n' ? 2 : 1;
	return at + (*at == *text);
}

/* Overwrites what is between two places, and returns the second. */
static char *blank(char *at, const char *end)
{
	for (; at < end; at++)
		if (*at != '\n')
			*at = ' ';
	return at;
}

/* "//" and "/ *" within a bare word belong to it, as libconfuse sees it. */
static bool begins_word(const char *at, const char *text)
{
	return at == text || strchr(" \t\r\n={}()+,\"'", at[-1]);
}

/* Behind the comment that begins here; at itself if none does; NULL if it does not end. */
static const char *skip_comment(const char *at, const char *text)
{
	const char *end;

	if (*at == '#' || (strncmp(at, "//", 2) == 0 && begins_word(at, text)))
		return at + strcspn(at, "\n");
	if (strncmp(at, "/*", 2) != 0 || !begins_word(at, text))
		return at;
	end = strstr(at + 2, "*/");
	return end ? end + 2 : NULL;
}

static int line_of(const char *text, const char *at)
{
	int line = 1;

	while (text < at)
		line += *text++ == '\n';
	return line;
}

int comments_blank(char *text)
{
	char *at = text;

	while (*at) {
		const char *end = skip_comment(at, text);

		if (!end) {
			int line = line_of(text, at);

			blank(at, at + strlen(at));
			return line;
		}
		if (end > at)
			at = blank(at, end);
		else if (*at == '"' || *at == '\'')
			at += comments_skip_quoted(at) - at;
		else
			at++;
	}
	return 0;
}

/* A "${" before whose "}" a quote or the end of the line comes. */
static bool is_torn(const char *at)
{
	return at[0] == '$' && at[1] == '{' && at[2 + strcspn(at + 2, "}\"'\n")] != '}';
}

/* A "${NAME}" of a variable that is not set, without the text that ":-" gives. */
static bool is_unset(const char *at)
{
	const char *name = at + 2;
	size_t size = strcspn(name, "}"), n = strcspn(name, ":}");

	if (at[0] != '$' || at[1] != '{' || (name[n] == ':' && name[n + 1] == '-'))
		return false;
	for (char **e = environ; e && *e; e++)
		if (strncmp(*e, name, size) == 0 && (*e)[size] == '=')
			return false;
	return true;
}

/* Behind it comes the variable, of which so much is shown. */
#define NAME_SHOWN 60
static const char not_set[] = "this variable is not set in the environment: ";

/* What is wrong with the byte at a place, outside of quotes or within them; or NULL. */
static const char *fault_of(const char *at, char quote)
{
	if (quote && *at == '\n')
		return "a quote on this line is not closed";
	if (quote != '\'' && is_torn(at))
		return "\"${\" has no \"}\" on its line";
	if (quote != '\'' && is_unset(at))
		return not_set;
	if (quote == '"' && *at == '\\' && at[1] && strchr("0123456789x", at[1]))
		return "invalid escape: a number after \"\\\"";
	if (!quote && (*at == '*' || (*at == '+' && at[1] != '=')))
		return "\"*\" and \"+\" have no meaning outside of quotes";
	return NULL;
}

int comments_find_stray(const char *text, char why[static COMMENTS_WHY])
{
	const char *fault = NULL, *at;
	char quote = '\0'; /* within which we are */
	size_t shown;

	for (at = text; *at && !(fault = fault_of(at, quote)); at++) {
		if (quote && *at == '\\' && at[1] && at[1] != '\n')
			at++;
		else if (quote ? *at == quote : *at == '"' || *at == '\'')
			quote = quote ? '\0' : *at;
	}
	if (!fault && quote)
		fault = fault_of("\n", quote);
	if (!fault)
		return 0;
	shown = fault == not_set ? strcspn(at, "}") + 1 : 0;
	snprintf(why, COMMENTS_WHY, "%s%.*s", fault, (int)(shown > NAME_SHOWN ? NAME_SHOWN : shown),
		 at);
	return line_of(text, at);
}
