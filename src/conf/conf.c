/* SPDX-License-Identifier: MIT */
/*
 * Reading the configuration with libconfuse 3.3, whose behaviour shapes this file:
 *
 * - It stops at the first error, and its scanner, which is global, gets lost in
 *   some texts.  So it is given one statement after the other, of which
 *   preflight.h knows that the form is right; and its callbacks only note what
 *   is wrong, and return success.
 * - Its integers have no bounds, and 32 bits on some machines.  So its values
 *   stay texts, and the callbacks put the values into struct conf.
 * - It reads any file it is given, a FIFO for ever and a NUL byte as nothing.
 *   So textfile.h reads the file, and libconfuse reads memory.
 * - It does not check whether it gets memory, and its scanner then ends the
 *   process.  So before, we see to it that there is some: see reserve().
 * - CFGF_IGNORE_UNKNOWN and CFGF_COMMENTS crash on some files: not used.
 */
#include "conf/conf.h"

#include <confuse.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/option.h"
#include "conf/preflight.h"
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
	int line; /* of the file, on which the statement begins; from 1 */
} loading;

/* The problems, with the line of the file at which libconfuse is. */
static struct problems *problems_at(const cfg_t *cfg)
{
	loading.problems->line = loading.line + cfg->line - 1;
	return loading.problems;
}

/* libconfuse's error callback: only lists are not yet checked for their form. */
__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[128];

	vsnprintf(text, sizeof(text), fmt, ap);
	problems_add(problems_at(cfg), "%s, a list is {VALUE, VALUE}", text);
}

static void refuse(const cfg_t *cfg, const char *name, const char *text, const char *allowed)
{
	problems_add(problems_at(cfg), "%s\"%.*s%s\" is not allowed, %s", name, VALUE_MAX, text,
		     strlen(text) > VALUE_MAX ? "..." : "", allowed);
}

/* libconfuse's callback for a scalar; the text stays ours. */
static int on_scalar(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct conf_option *o = option_find(opt->name, strlen(opt->name));
	char name[64], allowed[80];
	int64_t value;

	*(const char **)result = text;
	if (option_parse(o, text, &value) == 0) {
		option_set(o, loading.conf, value);
		return 0;
	}
	snprintf(name, sizeof(name), "%s = ", o->name);
	option_allowed(o, allowed, sizeof(allowed));
	refuse(cfg, name, text, allowed);
	return 0;
}

/* Why this cannot be the last address of the list; or NULL. */
static const char *take_address(struct address *address, const char *text)
{
	if (address_parse(address, text) < 0)
		return "only \"ADDR:PORT\" or \"[ADDR6]:PORT\", numeric, with a port from 0 to "
		       "65535; all addresses are \"0.0.0.0:PORT\" and \"[::]:PORT\"";
	return address_unfit(address);
}

/* libconfuse's callback for an element of `listen`, for which it has made room. */
static int on_address(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	struct address *listen = loading.conf->listen;
	size_t n = cfg_opt_size(opt) - 1;
	const char *unfit;

	*(const char **)result = text;
	if (n >= CONF_LISTEN_MAX)
		return problems_add(problems_at(cfg), "listen: only %d addresses are allowed",
				    CONF_LISTEN_MAX);
	loading.conf->n_listen = n + 1;
	unfit = take_address(&listen[n], text);
	if (unfit) {
		refuse(cfg, "listen: ", text, unfit);
		listen[n].size = 0;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		if (address_equal(&listen[i], &listen[n])) {
			problems_add(problems_at(cfg), "listen: \"%s\" is a duplicate", text);
			break;
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

/* A parser, with which the configuration has its defaults; or NULL. */
static cfg_t *parser_new(void)
{
	cfg_opt_t opts[OPTION_COUNT + 1] = { 0 };
	cfg_t *cfg;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct conf_option *o = &option_table[i];
		cfg_opt_t list =
			CFG_STR_LIST_CB(o->name, (char *)o->initial, CFGF_NONE, on_address);
		cfg_opt_t scalar = CFG_STR_CB(o->name, NULL, CFGF_NODEFAULT, on_scalar);
		int64_t value;

		opts[i] = o->kind == OPTION_ADDRESSES ? list : scalar;
		if (o->kind != OPTION_ADDRESSES && option_parse(o, o->initial, &value) == 0)
			option_set(o, loading.conf, value);
	}
	cfg = reserve() ? cfg_init(opts, CFGF_NONE) : NULL;
	if (cfg)
		cfg_set_error_function(cfg, on_error);
	return cfg;
}

static int fail_without_memory(void)
{
	problems_add(loading.problems, "%s", strerror(ENOMEM));
	return -ENOMEM;
}

/* 0, though there may be problems; or -ENOMEM. */
static int parse_statement(cfg_t *cfg, const char *statement)
{
	unsigned problems = loading.problems->n, addresses = cfg_size(cfg, "listen");
	int r;

	loading.problems->line = loading.line;
	if (statement[strspn(statement, " \t\r\n")] == '\0' ||
	    preflight_check(statement, loading.problems) < 0)
		return 0;
	r = reserve() ? cfg_parse_buf(cfg, statement) : CFG_FILE_ERROR;
	if (r != CFG_SUCCESS && loading.problems->n == problems)
		return fail_without_memory();
	if (addresses > 0 && cfg_size(cfg, "listen") == 0)
		problems_add(loading.problems, "listen: at least one address is needed");
	return 0;
}

/* Reads a text, which it changes, as many statements as have a message left. */
static int parse_text(cfg_t *cfg, char *text)
{
	int unclosed = preflight_blank_comments(text), r = 0;

	loading.line = 1;
	while (*text && loading.problems->n <= PROBLEMS_MAX && r == 0) {
		char *end = text + preflight_size(text), next = *end;

		*end = '\0';
		r = parse_statement(cfg, text);
		*end = next;
		while (text < end)
			loading.line += *text++ == '\n';
	}
	if (unclosed) {
		loading.problems->line = unclosed;
		problems_add(loading.problems, "the comment that begins here is not closed");
	}
	return r;
}

static int parse_file(cfg_t *cfg, const struct conf_source *source)
{
	static char text[TEXTFILE_MAX + 1]; /* so the reserve is libconfuse's */
	int r;

	if (!source->path)
		return 0;
	problems_in(loading.problems, source->path, false);
	r = textfile_read(source->path, text, loading.problems);
	if (r == -ENOENT && source->may_be_missing)
		return 0;
	if (r == -ENOENT)
		problems_add(loading.problems, "%s", strerror(ENOENT));
	loading.conf->has_file = true;
	return r < 0 ? r : parse_text(cfg, text);
}

static int parse_override(cfg_t *cfg, const char *override)
{
	char *copy = strdup(override);
	int r;

	problems_in(loading.problems, override, true);
	r = copy ? parse_text(cfg, copy) : fail_without_memory();
	free(copy);
	return r;
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
	r = cfg ? parse_file(cfg, source) : fail_without_memory();
	for (size_t i = 0; i < source->n_overrides && r != -ENOMEM; i++) {
		int error = parse_override(cfg, source->overrides[i]);

		r = r ? r : error;
	}
	cfg_free(cfg);
	return r == 0 && problems->n > 0 ? -EINVAL : r;
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
		const struct conf_option *o = &option_table[i];
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
		const struct conf_option *o = &option_table[i];

		if (!o->fixed || option_get(o, next) == option_get(o, running))
			continue;
		option_set(o, next, option_get(o, running));
		kept(o->name);
	}
}
