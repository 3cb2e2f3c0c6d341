/*
 * Reading the configuration with libconfuse 3.3, whose habits shape this file:
 *
 * - Its integers have no bounds and its messages do not say what is allowed.
 *   So every value comes through a parse callback of ours, which knows the
 *   option's row, and stays a text until then; its integer is a long, which
 *   has 32 bits on some machines.
 * - It reads any file it is given, a FIFO for ever and a NUL byte as nothing.
 *   So the file is read here, checked, and given to it as memory.
 * - Its scanner is global, gets lost in comments and strings, and can end a
 *   text inside one, where the next text would begin.  So comments are taken
 *   out before, and what it would misread is refused: see comments.h.
 * - It does not look whether it gets memory, and its scanner then ends the
 *   process.  So before, we see to it that there is some: see reserve().
 * - CFGF_IGNORE_UNKNOWN and CFGF_COMMENTS crash on some files: not used.
 */
#include "conf.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "comments.h"
#include "log.h"
#include "option.h"

/* No sane configuration is larger, and no larger file is worth parsing. */
#define FILE_MAX (64 * 1024)

/*
 * More than libconfuse needs for any sane file, and less than malloc(3) would
 * give back to the system when it is freed.
 */
#define RESERVE (100 * 1024)

/*
 * The load under way, for the callbacks, to which libconfuse gives nothing of
 * the caller's.  One at a time, as its scanner forces anyway.
 */
static struct {
	struct conf *conf;
	struct conf_error *error;
	const char *override; /* the -o being read; NULL while it is the file */
} loading;

/* libconfuse's error callback. */
__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char *text = loading.error->text;
	size_t size = sizeof(loading.error->text);
	int n;

	if (*text) /* the first error is the cause, later ones follow from it */
		return;
	if (loading.override)
		n = snprintf(text, size, "-o %s: ", loading.override);
	else
		n = snprintf(text, size, "%s:%d: ", cfg->filename, cfg->line);
	if (n > 0 && (size_t)n < size)
		vsnprintf(text + n, size - (size_t)n, fmt, ap);
}

/* libconfuse's callback for a scalar, which is checked here; the text stays ours. */
static int on_scalar(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct option *o = option_find(opt->name);
	char allowed[80];
	int64_t value;

	if (option_parse(o, text, &value) == 0) {
		*(const char **)result = text;
		return 0;
	}
	option_allowed(o, allowed, sizeof(allowed));
	cfg_error(cfg, "%s = %s is not allowed, %s", o->name, text, allowed);
	return -1;
}

/* libconfuse's callback for an element of a list; the text stays ours. */
static int on_element(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	struct address address;

	if (address_parse(&address, text) < 0) {
		cfg_error(cfg,
			  "%s: \"%s\" is not allowed, only \"ADDR:PORT\" or \"[ADDR6]:PORT\", "
			  "numeric, with a port from 0 to 65535",
			  opt->name, text);
		return -1;
	}
	*(const char **)result = text;
	return 0;
}

static bool is_listed(const struct conf *conf, const struct address *address)
{
	for (size_t i = 0; i < conf->n_listen; i++)
		if (address_equal(&conf->listen[i], address))
			return true;
	return false;
}

/*
 * Takes the list as libconfuse has it into the configuration.  Also its
 * validation callback, called after each element, when the line is known.
 */
static int take_addresses(cfg_t *cfg, cfg_opt_t *opt)
{
	struct conf *conf = loading.conf;
	struct address address;

	conf->n_listen = 0;
	for (unsigned i = 0; i < cfg_opt_size(opt); i++) {
		const char *text = cfg_opt_getnstr(opt, i);

		if (address_parse(&address, text) < 0)
			return -1;
		if (is_listed(conf, &address)) {
			cfg_error(cfg, "%s: \"%s\" is there twice", opt->name, text);
			return -1;
		}
		if (conf->n_listen == CONF_LISTEN_MAX) {
			cfg_error(cfg, "%s: only %d addresses are allowed", opt->name,
				  CONF_LISTEN_MAX);
			return -1;
		}
		conf->listen[conf->n_listen++] = address;
	}
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

static cfg_t *parser_new(const char *path)
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
	cfg_set_validate_func(cfg, "listen", take_addresses);
	cfg->filename = strdup(path); /* cfg_parse_fp() would call it "FILE" */
	return cfg;
}

/* Says what the first error was if libconfuse did not. */
static int fail(int error, const char *where, const char *what)
{
	if (!*loading.error->text)
		snprintf(loading.error->text, sizeof(loading.error->text), "%s: %s", where, what);
	return error;
}

static bool is_null_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/*
 * Reads the file into text, which has room for FILE_MAX + 1 bytes.  Returns
 * the size, or a negative errno after fail().
 */
static ssize_t read_file(int fd, const char *path, char *text)
{
	struct stat st;
	size_t size = 0;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return fail(-errno, path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !is_null_device(&st))
		return fail(-EINVAL, path, "is not a regular file");
	do {
		n = read(fd, text + size, FILE_MAX + 1 - size);
		if (n < 0)
			return fail(-errno, path, strerror(errno));
		size += (size_t)n;
	} while (n > 0 && size <= FILE_MAX);
	if (size > FILE_MAX)
		return fail(-EINVAL, path, "is larger than 64 KiB");
	if (memchr(text, '\0', size))
		return fail(-EINVAL, path, "contains a NUL byte, so it is not a text");
	return (ssize_t)size;
}

/* Parses size bytes at text, which it changes.  0, or -EINVAL after an error. */
static int parse_text(cfg_t *cfg, char *text, size_t size)
{
	FILE *in;
	int r;

	cfg->line = comments_blank(text, size);
	if (cfg->line) {
		cfg_error(cfg, "the string or comment that begins here is never closed");
		return -EINVAL;
	}
	cfg->line = comments_find_stray(text, size);
	if (cfg->line) {
		cfg_error(cfg,
			  "here is a \"*\", a \"+\", a \"${\" or an escape that means nothing");
		return -EINVAL;
	}
	if (size == 0) /* fmemopen(3) may refuse it */
		return 0;
	in = fmemopen(text, size, "r");
	if (!in)
		return fail(-ENOMEM, cfg->filename, strerror(ENOMEM));
	r = cfg_parse_fp(cfg, in);
	fclose(in);
	if (r != CFG_SUCCESS) {
		cfg_error(cfg, "no such option, or not NAME = VALUE");
		return -EINVAL;
	}
	if (cfg_size(cfg, "listen") == 0) {
		cfg_error(cfg, "listen: at least one address is needed");
		return -EINVAL;
	}
	return 0;
}

static int parse_file(cfg_t *cfg, const char *path, bool may_be_missing)
{
	static char text[FILE_MAX + 1]; /* so the reserve is libconfuse's */
	/* O_NONBLOCK: the open of a FIFO must not wait for its other end. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t size;
	int r;

	if (fd < 0)
		return errno == ENOENT && may_be_missing ? 0 : fail(-errno, path, strerror(errno));
	loading.conf->has_file = true;
	size = read_file(fd, path, text);
	r = size < 0 ? (int)size : parse_text(cfg, text, (size_t)size);
	close(fd);
	return r;
}

static int parse_override(cfg_t *cfg, const char *override)
{
	char *copy = strdup(override);
	int r = copy ? 0 : fail(-ENOMEM, override, strerror(ENOMEM));

	loading.override = override;
	if (copy)
		r = parse_text(cfg, copy, strlen(copy));
	loading.override = NULL;
	free(copy);
	return r;
}

static void name_the_options(struct conf_error *error)
{
	char *text = error->text;
	size_t n = strlen(text);

	if (!strstr(text, ": no such option '"))
		return;
	for (size_t i = 0; i < OPTION_COUNT && n < sizeof(error->text); i++)
		n += (size_t)snprintf(text + n, sizeof(error->text) - n, "%s%s",
				      i ? ", " : "; there are ", option_table[i].name);
}

static int load(cfg_t *cfg, const struct conf_source *source)
{
	int r = source->path ? parse_file(cfg, source->path, source->may_be_missing) : 0;

	for (size_t i = 0; i < source->n_overrides && r == 0; i++)
		r = parse_override(cfg, source->overrides[i]);
	if (r < 0)
		return r;
	if (take_scalars(cfg) < 0 || take_addresses(cfg, cfg_getopt(cfg, "listen")) < 0)
		return fail(-EINVAL, "defaults", "cannot be understood");
	return 0;
}

int conf_load(struct conf *conf, const struct conf_source *source, struct conf_error *error)
{
	cfg_t *cfg;
	int r;

	memset(conf, 0, sizeof(*conf));
	error->text[0] = '\0';
	loading.conf = conf;
	loading.error = error;
	cfg = parser_new(source->path ? source->path : "");
	r = cfg ? load(cfg, source) : fail(-ENOMEM, "configuration", strerror(ENOMEM));
	cfg_free(cfg);
	if (r < 0) {
		name_the_options(error);
		log_make_printable(error->text);
	}
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
