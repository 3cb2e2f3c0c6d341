#include "conf/statement.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "conf/comments.h"
#include "conf/option.h"

#define BLANKS " \t\r\n"
#define NAME_MAX_SHOWN 40

/* What is on both sides of the first operator. */
struct parts {
	const char *name;
	size_t name_size;  /* 0: there is none */
	const char *after; /* the first byte behind the name and blanks */
	const char *value; /* what is behind "=" or "+=" and blanks; NULL: no operator */
};

static bool is_name_byte(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("_-.", c));
}

static void take_apart(const char *text, struct parts *p)
{
	const char *at;

	p->name = text + strspn(text, BLANKS);
	for (at = p->name; is_name_byte(*at); at++)
		;
	p->name_size = (size_t)(at - p->name);
	p->after = at + strspn(at, BLANKS);
	at = p->after + (*p->after == '+');
	p->value = p->name_size && *at == '=' ? at + 1 + strspn(at + 1, BLANKS) : NULL;
}

/* True if a new statement begins here, on this line. */
static bool begins(const char *text)
{
	struct parts p;

	take_apart(text, &p);
	return p.value && !memchr(text, '\n', (size_t)(p.after - text));
}

size_t statement_size(const char *text)
{
	const char *at = text;
	bool fresh = false; /* only blanks since the line began, which is not the first */
	int depth = 0;	    /* of braces */

	for (; *at; fresh = *at == '\n' || (fresh && strchr(BLANKS, *at)), at++) {
		if (*at == '\n' && depth <= 0)
			return (size_t)(at + 1 - text);
		if (fresh && is_name_byte(*at) && begins(at)) /* although a brace is open */
			break;
		depth += (*at == '{') - (*at == '}');
		if (*at == '"' || *at == '\'')
			at = comments_skip_quoted(at) - 1;
	}
	return (size_t)(at - text);
}

__attribute__((format(printf, 2, 3))) static int refuse(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, STATEMENT_WHY, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static const struct option *find(const struct parts *p)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *o = &option_table[i];

		if (strlen(o->name) == p->name_size && memcmp(o->name, p->name, p->name_size) == 0)
			return o;
	}
	return NULL;
}

static char folded(char c)
{
	return c == '-' ? '_' : (char)tolower((unsigned char)c);
}

/* The least number of bytes that are to be changed, put in or left out (Levenshtein). */
static unsigned distance(const char *a, size_t n, const char *b)
{
	unsigned row[NAME_MAX_SHOWN + 1];

	for (unsigned i = 0; i <= n; i++)
		row[i] = i;
	for (; *b; b++) {
		unsigned diagonal = row[0]++;

		for (size_t i = 1; i <= n; i++) {
			unsigned other = diagonal + (folded(a[i - 1]) != *b);

			diagonal = row[i];
			row[i] = 1 + (row[i] < row[i - 1] ? row[i] : row[i - 1]);
			if (other < row[i])
				row[i] = other;
		}
	}
	return row[n];
}

/* The option that was probably meant, or NULL. */
static const char *nearest(const struct parts *p)
{
	unsigned least = 2 + (unsigned)p->name_size / 6;
	const char *found = NULL;

	for (size_t i = 0; i < OPTION_COUNT && p->name_size <= NAME_MAX_SHOWN; i++) {
		unsigned d = distance(p->name, p->name_size, option_table[i].name);

		if (d < least) {
			least = d;
			found = option_table[i].name;
		}
	}
	return found;
}

static int refuse_unknown(const struct parts *p, char *why)
{
	int shown = p->name_size > NAME_MAX_SHOWN ? NAME_MAX_SHOWN : (int)p->name_size;
	const char *meant = nearest(p);
	size_t n;

	if (p->name_size == strlen("include") && memcmp(p->name, "include", p->name_size) == 0)
		return refuse(why, "there is no \"include\", all settings are in one file");
	if (meant)
		return refuse(why, "no such option \"%.*s\", did you mean \"%s\"?", shown, p->name,
			      meant);
	refuse(why, "no such option \"%.*s\"", shown, p->name);
	for (size_t i = 0; i < OPTION_COUNT && (n = strlen(why)) < STATEMENT_WHY; i++)
		snprintf(why + n, STATEMENT_WHY - n, "%s%s", i ? ", " : "; there are ",
			 option_table[i].name);
	return -EINVAL;
}

/* There is no assignment: perhaps the syntax of another program. */
static int check_other_syntax(const struct parts *p, char *why)
{
	const struct option *o = find(p);

	if (*p->name == '[')
		return refuse(why, "there are no sections, only settings: NAME = VALUE");
	if (*p->name == '"' || *p->name == '\'')
		return refuse(why, "a name has no quotes: NAME = VALUE");
	if (p->name_size == 0)
		return refuse(why, "expected a setting: NAME = VALUE");
	if (!o)
		return refuse_unknown(p, why);
	if (*p->after == ':')
		return refuse(why, "expected \"=\" in place of \":\": %s = VALUE", o->name);
	return refuse(why, "expected \"=\" after the name: %s = VALUE", o->name);
}

/* Behind a value. */
static const char *skip_value(const char *at)
{
	if (*at == '"' || *at == '\'')
		return comments_skip_quoted(at);
	if (*at == '{' || (at[0] == '$' && at[1] == '{')) {
		while (*at && *at != '}')
			at = *at == '"' || *at == '\'' ? comments_skip_quoted(at) : at + 1;
		return at + (*at == '}');
	}
	return at + strcspn(at, BLANKS "\"'{}(),=+");
}

/* Whether two words together are a value that is allowed. */
static bool fit_together(const struct option *o, const char *value, int n, const char *rest)
{
	char text[NAME_MAX_SHOWN];
	int64_t ignored;
	int size = snprintf(text, sizeof(text), "%.*s%.*s", n, value, (int)strcspn(rest, BLANKS),
			    rest);

	return o->kind != OPTION_ADDRESSES && size < (int)sizeof(text) &&
	       option_parse(o, text, &ignored) == 0;
}

/* There is more on the line than a value. */
static int refuse_rest(const struct option *o, const char *value, const char *end, const char *rest,
		       char *why)
{
	int n = (int)strcspn(rest, BLANKS);

	if (begins(rest))
		return refuse(why, "unexpected \"%.*s\", a setting ends with its line", n, rest);
	if (fit_together(o, value, (int)(end - value), rest))
		return refuse(why, "leave out the blank: %s = %.*s%.*s", o->name,
			      (int)(end - value), value, n, rest);
	if (o->kind == OPTION_ADDRESSES && *value != '{')
		return refuse(why, "a list of several values is in braces: %s = {VALUE, VALUE}",
			      o->name);
	return refuse(why, "unexpected \"%.*s\" %s", n, rest,
		      end > value ? "after the value" : "in place of a value");
}

/* Whether the value is one, and of the kind of the option. */
static int check_value(const struct option *o, const struct parts *p, char *why)
{
	bool is_list = o->kind == OPTION_ADDRESSES;
	const char *end = skip_value(p->value);
	const char *rest = end + strspn(end, BLANKS);

	if (!*p->value)
		return refuse(why, "%s has no value: %s = VALUE", o->name, o->name);
	if (begins(p->value))
		return refuse(why, "%s has no value, a setting ends with its line", o->name);
	if (*p->value == '=')
		return refuse(why, "expected one \"=\": %s = VALUE", o->name);
	if (!is_list && *p->after == '+')
		return refuse(why, "\"+=\" is only for a list: %s = VALUE", o->name);
	if (!is_list && *p->value == '{')
		return refuse(why, "braces are only for a list: %s = VALUE", o->name);
	if (is_list && *p->value == '{' && end[-1] != '}')
		return refuse(why, "the list that begins here has no \"}\"");
	if (end > p->value && end[-1] == '$' && *end == '{')
		return refuse(why, "a value that contains \"${\" needs double quotes");
	if (is_list && *p->value == '*')
		return refuse(why, "all addresses are %s = {\"0.0.0.0:PORT\", \"[::]:PORT\"}",
			      o->name);
	return *rest ? refuse_rest(o, p->value, end, rest, why) : 0;
}

static bool ends_with_semicolon(const char *text)
{
	size_t n = strlen(text);

	while (n > 0 && strchr(BLANKS, text[n - 1]))
		n--;
	return n > 0 && text[n - 1] == ';';
}

int statement_check(const char *statement, char why[static STATEMENT_WHY])
{
	const struct option *o;
	struct parts p;

	take_apart(statement, &p);
	if (p.value && begins(statement)) {
		o = find(&p);
		if (!o)
			return refuse_unknown(&p, why);
		if (ends_with_semicolon(statement))
			return refuse(why, "leave out the \";\", a setting ends with its line");
		return check_value(o, &p, why);
	}
	return check_other_syntax(&p, why);
}
