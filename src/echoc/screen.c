/* SPDX-License-Identifier: MIT */
#include "echoc/screen.h"

#include <string.h>
#include <wchar.h>
#include <wctype.h>

void screen_init(struct screen *s, FILE *out)
{
	*s = (struct screen){ .out = out };
}

/* Takes n bytes from what is held, and shows them as they are or escaped. */
static void release(struct screen *s, size_t n, bool escaped)
{
	for (size_t i = 0; i < n; i++)
		if (escaped)
			fprintf(s->out, "\\x%02x", (unsigned char)s->held[i]);
		else
			putc(s->held[i], s->out);
	s->line_begun = s->held[n - 1] != '\n';
	s->n_held -= n;
	memmove(s->held, s->held + n, s->n_held);
}

/* Shows of what is held all that is complete, or cannot become a character. */
static void decode(struct screen *s)
{
	while (s->n_held > 0) {
		mbstate_t fresh = { 0 };
		wchar_t c = L'\0';
		size_t n = mbrtowc(&c, s->held, s->n_held, &fresh);

		if (n == (size_t)-2 && s->n_held < sizeof(s->held))
			return;
		if (n == 0 || n > s->n_held) /* a NUL, or no character begins here */
			release(s, 1, true);
		else
			release(s, n, c != L'\n' && c != L'\t' && !iswprint((wint_t)c));
	}
}

void screen_show(struct screen *s, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		s->held[s->n_held++] = data[i];
		decode(s);
	}
	fflush(s->out);
}

void screen_new_line(struct screen *s)
{
	if (s->n_held > 0)
		release(s, s->n_held, true);
	if (s->line_begun)
		putc('\n', s->out);
	s->line_begun = false;
	fflush(s->out);
}
