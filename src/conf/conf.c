/*
 * Reading the configuration with libconfuse 3.3, whose habits shape this file:
 *
 * - It stops at the first error, and its messages do not say what is allowed.
 *   So it is given one statement after the other, whose form was looked at
 *   before, see statement.h; and its callbacks only note what is wrong, so that
 *   it goes on.
 * - Its integers have no bounds, and 32 bits on some machines.  So values stay
 *   texts, until the option's row is applied to them.
 * - It reads any file it is given, a FIFO for ever and a NUL byte as nothing.
 *   So the file is read by textfile.h, and given to it as memory.
 * - Its scanner is global, gets lost in comments and strings, and can end a
 *   text inside one, where the next text would begin.  So comments are taken
 *   out before, and what it would misread is refused: see comments.h.
 * - It does not look whether it gets memory, and its scanner then ends the
 *   process.  So before, we see to it that there is some: see reserve().
 * - CFGF_IGNORE_UNKNOWN and CFGF_COMMENTS crash on some files: not used.
 */
#include "conf/conf.h"

#include <confuse.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/comments.h"
#include "conf/option.h"
#include "conf/statement.h"
#include "conf/textfile.h"

/*
 * More than libconfuse needs for any sane file, and less than malloc(3) would
 * give back to the system when it is freed.
 */
#define RESERVE (100 * 1024)

/* How much of a value is shown in a message. */
#define VALUE_MAX 60

/*
 * The load under way, for the callbacks, to which libconfuse gives nothing of
 * the caller's.  One at a time, as its scanner forces anyway.
 */
static struct {
	struct conf *conf;
	struct problems *problems;
	int line;	   /* of the file, on which the statement begins; from 1 */
	unsigned elements; /* of the list, that were looked at in this statement */
} loading;

/* The line of the file at which libconfuse is. */
static int line_of(const cfg_t *cfg)
{
	return loading.line + cfg->line - 1;
}

/* libconfuse's error callback: only lists are not yet checked for their form. */
__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[128];

	vsnprintf(text, sizeof(text), fmt, ap);
	problems_add(loading.problems, line_of(cfg), "%s, a list is {VALUE, VALUE}", text);
}

/* libconfuse's callback for a scalar, which is checked here; the text stays ours. */
static int on_scalar(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct option *o = option_find(opt->name);
	char allowed[80];
	int64_t value;

	*(const char **)result = text;
	if (option_parse(o, text, &value) == 0)
		return 0;
	option_allowed(o, allowed, sizeof(allowed));
	problems_add(loading.problems, line_of(cfg), "%s = \"%.*s%s\" is not allowed, %s", o->name,
		     VALUE_MAX, text, strlen(text) > VALUE_MAX ? "..." : "", allowed);
	return 0;
}

/* libconfuse's callback for an element of a list; the text stays ours. */
static int on_element(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	struct address address;
	const char *unfit =
		"only \"ADDR:PORT\" or \"[ADDR6]:PORT\", numeric, with a port from 0 to "
		"65535; all addresses are \"0.0.0.0:PORT\" and \"[::]:PORT\"";

	*(const char **)result = text;
	if (address_parse(&address, text) == 0)
		unfit = address_unfit(&address);
	if (unfit)
		problems_add(loading.problems, line_of(cfg), "%s: \"%.*s%s\" is not allowed, %s",
			     opt->name, VALUE_MAX, text, strlen(text) > VALUE_MAX ? "..." : "",
			     unfit);
	return 0;
}

static bool is_listed(const struct conf *conf, const struct address *address)
{
	for (size_t i = 0; i < conf->n_listen; i++)
		if (address_equal(&conf->listen[i], address))
			return true;
	return false;
}

/* Takes what is allowed of the list as libconfuse has it into the configuration. */
static void take_addresses(cfg_opt_t *opt, unsigned n)
{
	struct conf *conf = loading.conf;

	conf->n_listen = 0;
	for (unsigned i = 0; i < n && i < CONF_LISTEN_MAX; i++)
		if (address_parse(&conf->listen[conf->n_listen], cfg_opt_getnstr(opt, i)) == 0)
			conf->n_listen++;
}

/* libconfuse's validation callback, called after each element, when the line is known. */
static int on_list(cfg_t *cfg, cfg_opt_t *opt)
{
	unsigned last = cfg_opt_size(opt) - 1;
	struct address address;

	if (loading.elements == last + 1) /* again, at the end of the list */
		return 0;
	loading.elements = last + 1;
	if (last >= CONF_LISTEN_MAX) {
		problems_add(loading.problems, line_of(cfg), "%s: only %d addresses are allowed",
			     opt->name, CONF_LISTEN_MAX);
		return -1;
	}
	take_addresses(opt, last);
	if (address_parse(&address, cfg_opt_getnstr(opt, last)) == 0 &&
	    is_listed(loading.conf, &address))
		problems_add(loading.problems, line_of(cfg), "%s: \"%s\" is a duplicate", opt->name,
			     cfg_opt_getnstr(opt, last));
	return 0;
}

static int take_scalars(cfg_t *cfg)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *o = &option_table[i];
		const char *text;
		int64_t value;

		if (o->kind == OPTION_ADDRESSES)
			continue;
		text = cfg_size(cfg, o->name) > 0 ? cfg_getstr(cfg, o->name) : o->initial;
		if (option_parse(o, text, &value) < 0)
			return -EINVAL;
		option_set(o, loading.conf, value);
	}
	return 0;
}

/* True if there will be memory for libconfuse: what is freed stays with malloc(3). */
static bool reserve(void)
{
	void *volatile memory = malloc(RESERVE);

	free(memory);
	return memory != NULL;
}

static cfg_t *parser_new(void)
{
	cfg_opt_t opts[OPTION_COUNT + 1] = { 0 };
	cfg_t *cfg;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *o = &option_table[i];
		cfg_opt_t list =
			CFG_STR_LIST_CB(o->name, (char *)o->initial, CFGF_NONE, on_element);
		cfg_opt_t scalar = CFG_STR_CB(o->name, NULL, CFGF_NODEFAULT, on_scalar);

		opts[i] = o->kind == OPTION_ADDRESSES ? list : scalar;
	}
	cfg = reserve() ? cfg_init(opts, CFGF_NONE) : NULL;
	if (!cfg)
		return NULL;
	cfg_set_error_function(cfg, on_error);
	cfg_set_validate_func(cfg, "listen", on_list);
	return cfg;
}

static int complain_memory(void)
{
	problems_add(loading.problems, 0, "%s", strerror(ENOMEM));
	return -ENOMEM;
}

/* Has libconfuse read a statement whose form is right. */
static int parse(cfg_t *cfg, char *statement)
{
	unsigned errors = loading.problems->n, addresses = cfg_size(cfg, "listen");
	FILE *in = reserve() ? fmemopen(statement, strlen(statement), "r") : NULL;
	int r;

	if (!in)
		return complain_memory();
	loading.elements = 0;
	r = cfg_parse_fp(cfg, in);
	fclose(in);
	if (loading.problems->n > errors)
		return -EINVAL;
	if (addresses > 0 && cfg_size(cfg, "listen") == 0)
		problems_add(loading.problems, loading.line,
			     "listen: at least one address is needed");
	else if (r != CFG_SUCCESS)
		problems_add(loading.problems, loading.line, "expected a setting: NAME = VALUE");
	return loading.problems->n > errors ? -EINVAL : 0;
}

static int parse_statement(cfg_t *cfg, char *statement)
{
	char why[STATEMENT_WHY];
	int line;

	if (statement[strspn(statement, " \t\r\n")] == '\0')
		return 0;
	if (statement_check(statement, why) < 0) {
		problems_add(loading.problems, loading.line, "%s", why);
		return -EINVAL;
	}
	line = comments_find_stray(statement, why);
	if (line > 0) {
		problems_add(loading.problems, loading.line + line - 1, "%s", why);
		return -EINVAL;
	}
	return parse(cfg, statement);
}

static int count_lines(const char *text)
{
	int n = 0;

	while (*text)
		n += *text++ == '\n';
	return n;
}

/*
 * Reads a text, which it changes, as many statements as have a message left.
 * 0, or the error of the last one that is wrong; without memory it ends there.
 */
static int parse_text(cfg_t *cfg, char *text)
{
	int unclosed = comments_blank(text), result = 0;

	loading.line = 1;
	while (*text && !loading.problems->has_more && result != -ENOMEM) {
		size_t size = statement_size(text);
		char next = text[size];
		int r;

		text[size] = '\0';
		r = parse_statement(cfg, text);
		if (r < 0)
			result = r;
		loading.line += count_lines(text);
		text += size;
		*text = next;
	}
	if (!unclosed)
		return result;
	problems_add(loading.problems, unclosed, "the comment that begins here is not closed");
	return -EINVAL;
}

static int parse_file(cfg_t *cfg, const struct conf_source *source)
{
	static char text[TEXTFILE_MAX + 1]; /* so the reserve is libconfuse's */
	char why[TEXTFILE_WHY];
	ssize_t r;

	if (!source->path)
		return 0;
	problems_in_file(loading.problems, source->path);
	r = textfile_read(source->path, text, why);
	if (r == -ENOENT && source->may_be_missing)
		return 0;
	loading.conf->has_file = true;
	if (r >= 0)
		return parse_text(cfg, text);
	problems_add(loading.problems, 0, "%s", why);
	return (int)r;
}

static int parse_override(cfg_t *cfg, const char *override)
{
	char *copy = strdup(override);
	int r;

	problems_in_override(loading.problems, override);
	r = copy ? parse_text(cfg, copy) : complain_memory();
	free(copy);
	return r;
}

static int load(cfg_t *cfg, const struct conf_source *source)
{
	int result = parse_file(cfg, source);

	for (size_t i = 0; i < source->n_overrides && result != -ENOMEM; i++) {
		int r = parse_override(cfg, source->overrides[i]);

		if (result == 0)
			result = r;
	}
	if (result < 0)
		return result;
	take_addresses(cfg_getopt(cfg, "listen"), cfg_size(cfg, "listen"));
	return take_scalars(cfg);
}

int conf_load(struct conf *conf, const struct conf_source *source, struct problems *problems)
{
	cfg_t *cfg;
	int r;

	memset(conf, 0, sizeof(*conf));
	problems_init(problems);
	loading.conf = conf;
	loading.problems = problems;
	cfg = parser_new();
	r = cfg ? load(cfg, source) : complain_memory();
	cfg_free(cfg);
	return r;
}

static void print_addresses(const struct conf *conf, FILE *out)
{
	char text[ADDRESS_TEXT];

	fputc('{', out);
	for (size_t i = 0; i < conf->n_listen; i++)
		fprintf(out, "%s\"%s\"", i ? ", " : "", address_format(&conf->listen[i], text));
	fputc('}', out);
}

void conf_print(const struct conf *conf, FILE *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *o = &option_table[i];
		char text[QUANTITY_TEXT];

		fprintf(out, "%s = ", o->name);
		if (o->kind == OPTION_ADDRESSES)
			print_addresses(conf, out);
		else
			fputs(option_format(o, option_get(o, conf), text), out);
		fputc('\n', out);
	}
}

void conf_keep_fixed(struct conf *next, const struct conf *running, void (*kept)(const char *name))
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *o = &option_table[i];

		if (!o->fixed || option_get(o, next) == option_get(o, running))
			continue;
		option_set(o, next, option_get(o, running));
		kept(o->name);
	}
}
