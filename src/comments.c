#include "comments.h"

#include <stdbool.h>
#include <string.h>

struct scan {
	char *at, *end;
	int line;
};

static char next_but_one(const struct scan *s)
{
	return s->at + 1 < s->end ? s->at[1] : '\0';
}

/* Steps over n bytes, or to the end. */
static void step(struct scan *s, int n, bool blank)
{
	while (n-- > 0 && s->at < s->end) {
		if (*s->at == '\n')
			s->line++;
		else if (blank)
			*s->at = ' ';
		s->at++;
	}
}

/* From the quote to behind its twin; a backslash takes the next byte with it. */
static void step_over_string(struct scan *s)
{
	char quote = *s->at;

	step(s, 1, false);
	while (s->at < s->end && *s->at != quote)
		step(s, *s->at == '\\' ? 2 : 1, false);
}

static void blank_line_comment(struct scan *s)
{
	while (s->at < s->end && *s->at != '\n')
		step(s, 1, true);
}

static void blank_block_comment(struct scan *s)
{
	step(s, 2, true);
	while (s->at < s->end && !(*s->at == '*' && next_but_one(s) == '/'))
		step(s, 1, true);
}

/* "//" and "/ *" within a bare word belong to it, as libconfuse sees it. */
static bool begins_word(const struct scan *s, const char *text)
{
	return s->at == text || strchr(" \t\r\n={}()+,\"'", s->at[-1]);
}

int comments_blank(char *text, size_t size)
{
	struct scan s = { text, text + size, 1 };

	while (s.at < s.end) {
		bool slash = *s.at == '/' && begins_word(&s, text);
		int line = s.line;

		if (*s.at == '#' || (slash && next_but_one(&s) == '/')) {
			blank_line_comment(&s);
			continue; /* its end is the line's, or the text's */
		}
		if (*s.at == '"' || *s.at == '\'') {
			step_over_string(&s);
		} else if (slash && next_but_one(&s) == '*') {
			blank_block_comment(&s);
			step(&s, 1, true); /* of two: the '*' */
		} else {
			step(&s, 1, false);
			continue;
		}
		if (s.at >= s.end)
			return line;
		step(&s, 1, *s.at == '/');
	}
	return 0;
}

/* A "${" before whose "}" a quote or the end of the line comes. */
static bool is_torn(const char *at, const char *end)
{
	if (end - at < 2 || at[0] != '$' || at[1] != '{')
		return false;
	for (at += 2; at < end && *at != '}'; at++)
		if (strchr("\"'\n", *at))
			return true;
	return at == end;
}

static bool is_stray(const char *at, const char *end, char quote)
{
	char next = '\0';

	if (at + 1 < end)
		next = at[1];
	if (quote == '"')
		return is_torn(at, end) || (*at == '\\' && strchr("0123456789x", next));
	if (quote)
		return false;
	return is_torn(at, end) || *at == '*' || (*at == '+' && next != '=');
}

int comments_find_stray(const char *text, size_t size)
{
	const char *end = text + size;
	char quote = '\0'; /* of the string that we are in */
	int line = 1;

	for (const char *at = text; at < end; at++) {
		if (is_stray(at, end, quote))
			return line;
		line += *at == '\n';
		if (quote && *at == '\\' && at + 1 < end)
			line += *++at == '\n';
		else if (*at == quote)
			quote = '\0';
		else if (!quote && (*at == '"' || *at == '\''))
			quote = *at;
	}
	return 0;
}
