/* SPDX-License-Identifier: MIT */
#include "conf/preflight.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "conf/option.h"

#define BLANKS " \t\r\n"
#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

/* How much of a name, and of a variable, is shown. */
#define NAME_SHOWN 40
#define VARIABLE_SHOWN 60

static bool is_quote(char c)
{
	return c == '"' || c == '\'';
}

static int count_lines(const char *text, const char *end)
{
	int n = 0;

	while (text < end)
		n += *text++ == '\n';
	return n;
}

/*
 * From the quote with which a text begins to behind its twin, or to the end of
 * the line, where every quoted value ends; a backslash takes the next byte with it.
 */
static size_t quoted_size(const char *text)
{
	const char *at = text + 1;

	while (*at && *at != '\n' && *at != *text)
		at += *at == '\\' && at[1] && at[1] != '\n' ? 2 : 1;
	return (size_t)(at - text) + (*at == *text);
}

/*
 * Behind the comment that begins here; at itself if none does; NULL if it does
 * not end.  "//" and "/ *" within a bare word belong to it, as libconfuse sees it.
 */
static const char *skip_comment(const char *at, const char *text)
{
	bool in_word = at > text && !strchr(BLANKS "={}()+,\"'", at[-1]);
	const char *end;

	if (*at == '#' || (!in_word && strncmp(at, "//", 2) == 0))
		return at + strcspn(at, "\n");
	if (in_word || strncmp(at, "/*", 2) != 0)
		return at;
	end = strstr(at + 2, "*/");
	return end ? end + 2 : NULL;
}

int preflight_blank_comments(char *text)
{
	int unclosed = 0;

	for (char *at = text; *at && !unclosed;) {
		const char *end = skip_comment(at, text);

		if (end == at) {
			at += is_quote(*at) ? quoted_size(at) : 1;
			continue;
		}
		if (!end) {
			unclosed = 1 + count_lines(text, at);
			end = at + strlen(at);
		}
		for (; at < end; at++)
			if (*at != '\n')
				*at = ' ';
	}
	return unclosed;
}

/* What is on both sides of the sign. */
struct parts {
	const char *name;
	size_t size;			  /* of the name; 0: there is none */
	const struct conf_option *option; /* of that name, or NULL */
	const char *sign;		  /* the first byte behind the name and blanks */
	const char *value; /* behind "=" or "+=" and blanks; NULL: neither is on the line */
};

static struct parts take_apart(const char *text)
{
	struct parts p = { .name = text + strspn(text, BLANKS) };
	const char *equals;

	p.size = strspn(p.name, NAME_BYTES);
	p.option = option_find(p.name, p.size);
	p.sign = p.name + p.size + strspn(p.name + p.size, BLANKS);
	equals = p.sign + (*p.sign == '+');
	if (p.size > 0 && *equals == '=' && count_lines(p.name, p.sign) == 0)
		p.value = equals + 1 + strspn(equals + 1, BLANKS);
	return p;
}

static bool begins_statement(const char *text)
{
	return !strchr(BLANKS, *text) && take_apart(text).value;
}

size_t preflight_size(const char *text)
{
	const char *at = text;
	bool fresh = false; /* only blanks since the line began, which is not the first */
	int depth = 0;	    /* of braces */

	for (; *at; fresh = *at == '\n' || (fresh && strchr(BLANKS, *at)), at++) {
		if (*at == '\n' && depth <= 0)
			return (size_t)(at + 1 - text);
		if (fresh && begins_statement(at)) /* although a brace is open */
			break;
		depth += (*at == '{') - (*at == '}');
		if (is_quote(*at))
			at += quoted_size(at) - 1;
	}
	return (size_t)(at - text);
}

static int refuse_unknown(const struct parts *p, struct problems *problems)
{
	int shown = (int)MIN(p->size, NAME_SHOWN);
	const char *meant = option_nearest(p->name, p->size);
	char all[400] = "";

	if (p->size == strlen("include") && memcmp(p->name, "include", p->size) == 0)
		return problems_add(problems,
				    "there is no \"include\", all settings are in one file");
	if (meant)
		return problems_add(problems, "no such option \"%.*s\", did you mean \"%s\"?",
				    shown, p->name, meant);
	for (size_t i = 0, n = 0; i < OPTION_COUNT && n < sizeof(all); i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? ", " : "",
				      option_table[i].name);
	return problems_add(problems, "no such option \"%.*s\"; there are %s", shown, p->name, all);
}

static bool is_list(const struct parts *p)
{
	return p->option->kind == OPTION_ADDRESSES;
}

/* What is wrong, if anything is that "NAME = VALUE" says: perhaps the syntax of another program. */
static const char *fault_of_form(const struct parts *p)
{
	if (p->size == 0)
		return *p->name == '['	  ? "there are no sections, only settings" :
		       is_quote(*p->name) ? "a name has no quotes" :
					    "expected a setting";
	if (!p->option)
		return NULL;
	if (!p->value)
		return *p->sign == ':' ? "expected \"=\" in place of \":\"" :
					 "expected \"=\" after the name";
	if (!*p->value)
		return "expected a value";
	if (*p->value == '=')
		return "expected one \"=\"";
	if (is_list(p))
		return NULL;
	return *p->sign == '+'	? "\"+=\" is only for a list" :
	       *p->value == '{' ? "braces are only for a list" :
				  NULL;
}

/* Behind a value. */
static const char *skip_value(const char *at)
{
	if (is_quote(*at))
		return at + quoted_size(at);
	if (*at == '{' || (at[0] == '$' && at[1] == '{')) {
		while (*at && *at != '}')
			at += is_quote(*at) ? quoted_size(at) : 1;
		return at + (*at == '}');
	}
	return at + strcspn(at, BLANKS "\"'{}(),=+");
}

/* Whether two words together are a value that is allowed. */
static bool fit_together(const struct conf_option *o, const char *value, int n, const char *rest)
{
	char text[NAME_SHOWN];
	int64_t ignored;
	int size = snprintf(text, sizeof(text), "%.*s%.*s", n, value, (int)strcspn(rest, BLANKS),
			    rest);

	return size < (int)sizeof(text) && option_parse(o, text, &ignored) == 0;
}

/* There is more on the line than a value. */
static int refuse_rest(const struct parts *p, const char *end, const char *rest,
		       struct problems *problems)
{
	int size = (int)(end - p->value), n = (int)strcspn(rest, BLANKS);

	if (begins_statement(rest))
		return problems_add(problems, "unexpected \"%.*s\", a setting ends with its line",
				    n, rest);
	if (!is_list(p) && fit_together(p->option, p->value, size, rest))
		return problems_add(problems, "leave out the blank: %s = %.*s%.*s", p->option->name,
				    size, p->value, n, rest);
	if (is_list(p) && *p->value != '{')
		return problems_add(problems, "a list of several values is in braces: "
					      "listen = {VALUE, VALUE}");
	return problems_add(problems, "unexpected \"%.*s\" %s", n, rest,
			    size > 0 ? "after the value" : "in place of a value");
}

/* What is wrong with a value that ends there, if it is no value for this option. */
static const char *fault_of_value(const struct parts *p, const char *end)
{
	size_t size = strlen(p->value);

	while (strchr(BLANKS, p->value[size - 1]))
		size--;
	if (p->value[size - 1] == ';')
		return "leave out the \";\", a setting ends with its line";
	if (begins_statement(p->value))
		return "expected a value, a setting ends with its line";
	if (*p->value == '{' && end[-1] != '}')
		return "the list that begins here has no \"}\"";
	if (is_list(p) && *p->value == '*')
		return "all addresses are listen = {\"0.0.0.0:PORT\", \"[::]:PORT\"}";
	if (end > p->value && end[-1] == '$' && *end == '{')
		return "a value that contains \"${\" needs double quotes";
	return NULL;
}

/* Whether what stands behind the sign is one value for this option. */
static int check_value(const struct parts *p, struct problems *problems)
{
	const char *end = skip_value(p->value), *rest = end + strspn(end, BLANKS);
	const char *fault = fault_of_value(p, end);

	if (fault)
		return problems_add(problems, "%s", fault);
	return *rest ? refuse_rest(p, end, rest, problems) : 0;
}

static const char not_set[] = "this variable is not set in the environment: ";

/* What is wrong with the "${NAME}" or "${NAME:-DEFAULT}" that begins here, if one does. */
static const char *fault_of_variable(const char *at)
{
	char name[256];
	const char *colon;

	if (at[0] != '$' || at[1] != '{')
		return NULL;
	if (at[2 + strcspn(at + 2, "}\"'\n")] != '}')
		return "\"${\" has no \"}\" on its line";
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 2, "}"), at + 2);
	colon = strchr(name, ':');
	return (colon && colon[1] == '-') || getenv(name) ? NULL : not_set;
}

/* What is wrong with the byte at a place, outside of quotes or within them; or NULL. */
static const char *fault_of(const char *at, char quote)
{
	const char *fault = quote == '\'' ? NULL : fault_of_variable(at);

	if (quote && (*at == '\n' || !*at))
		return "a quote on this line is not closed";
	if (quote == '"' && *at == '\\' && strspn(at + 1, "0123456789x") > 0)
		return "invalid escape: a number after \"\\\""; /* NUL would end the value */
	if (!quote && (*at == '*' || (*at == '+' && at[1] != '=')))
		return "\"*\" and \"+\" have no meaning outside of quotes";
	return fault;
}

/* Looks for bytes that libconfuse would pass over, or take otherwise than a person. */
static int check_bytes(const char *text, struct problems *problems)
{
	char quote = '\0'; /* within which we are */

	for (const char *at = text;; at++) {
		const char *fault = fault_of(at, quote);

		if (fault) {
			size_t shown = fault == not_set ? strcspn(at, "}") + 1 : 0;

			problems->line += count_lines(text, at);
			return problems_add(problems, "%s%.*s", fault,
					    (int)MIN(shown, VARIABLE_SHOWN), at);
		}
		if (!*at)
			return 0;
		if (quote && *at == '\\' && at[1] && at[1] != '\n')
			at++;
		else if (*at == quote)
			quote = '\0';
		else if (!quote && is_quote(*at))
			quote = *at;
	}
}

int preflight_check(const char *statement, struct problems *problems)
{
	struct parts p = take_apart(statement);
	const char *fault = fault_of_form(&p);
	int r;

	if (fault)
		r = problems_add(problems, "%s: %s = VALUE", fault,
				 p.option ? p.option->name : "NAME");
	else if (!p.option)
		r = refuse_unknown(&p, problems);
	else
		r = check_value(&p, problems);
	return r < 0 ? r : check_bytes(statement, problems);
}
