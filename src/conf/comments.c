#include "conf/comments.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

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

/* What is wrong with the byte at a place, outside of quotes or within them; or NULL. */
static const char *fault_of(const char *at, char quote)
{
	if (quote != '\'' && is_torn(at))
		return "\"${\" has no \"}\" on its line";
	if (quote == '"' && *at == '\\' && at[1] && strchr("0123456789x", at[1]))
		return "invalid escape: a number after \"\\\"";
	if (quote)
		return NULL;
	if (*at == '*' || (*at == '+' && at[1] != '='))
		return "\"*\" and \"+\" have no meaning outside of quotes";
	return NULL;
}

/* The first fault of the quoted value with which a text begins, or NULL. */
static const char *fault_of_quoted(const char *text)
{
	const char *at = text + 1;

	for (; *at && *at != '\n' && *at != *text; at++) {
		const char *fault = fault_of(at, *text);

		if (fault)
			return fault;
		at += *at == '\\' && at[1] && at[1] != '\n';
	}
	return *at == *text ? NULL : "a quote on this line is not closed";
}

const char *comments_find_stray(const char *text, int *line)
{
	const char *fault = NULL, *at = text;

	while (*at && !fault) {
		if (*at == '"' || *at == '\'') {
			fault = fault_of_quoted(at);
			at = comments_skip_quoted(at);
		} else {
			fault = fault_of(at, '\0');
			at++;
		}
	}
	*line = line_of(text, at);
	return fault;
}
