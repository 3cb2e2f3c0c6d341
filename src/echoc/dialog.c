/* SPDX-License-Identifier: MIT */
/*
 * At the prompt libedit has the terminal.  It asks us for each character, and
 * that is where we wait, for a key as well as for the server and for signals.
 * What comes from the server then goes below the line that is being edited,
 * and libedit draws prompt and line anew below that.
 *
 * Signals are read from a descriptor: ^C can so give up a line, and whatever
 * ends us finds the terminal in order.  The terminal stays as libedit needs it
 * also between two prompts, for keys that are typed ahead; in canonical mode a
 * ^D among them would be lost.
 */
#include "echoc/dialog.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "echoc/options.h"
#include "echoc/screen.h"
#include "echoc/signals.h"
#include "echoc/wire.h"

#define HISTORY_LINES 1000
#define SILENCE_MS 1000 /* then the echo of a line is not waited for any longer */

struct dialog {
	struct wire *wire;
	struct screen screen;
	EditLine *editor;
	History *history;
	int signals;
	mbstate_t key;	/* what was typed of a character */
	bool prompting; /* libedit has a line that is being edited */
	bool discarded; /* that line */
};

/* The terminal as libedit needs it, or as others do. */
static void prepare_terminal(struct dialog *d, bool ours)
{
	int editing = 0;

	/* With "edit off" in ~/.editrc the terminal edits the line, not libedit. */
	if (el_get(d->editor, EL_EDITMODE, &editing) == 0 && editing)
		el_set(d->editor, EL_PREP_TERM, (int)ours);
}

/* Prompt and line, on a line that is new. */
static void draw_prompt(struct dialog *d)
{
	el_set(d->editor, EL_REFRESH);
	d->screen.line_begun = true;
}

/* ^Z */
static void suspend(struct dialog *d)
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	screen_new_line(&d->screen);
	prepare_terminal(d, false);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, NULL); /* here it stops, and goes on */
	sigprocmask(SIG_BLOCK, &stop, NULL);
	prepare_terminal(d, true);
	if (d->prompting)
		draw_prompt(d);
}

static void take_signal(struct dialog *d)
{
	int signal = signals_next(d->signals);

	if (signal == SIGWINCH)
		el_resize(d->editor);
	else if (signal == SIGTSTP)
		suspend(d);
	else if (signal == SIGINT && d->prompting)
		d->discarded = true;
	else if (signal != 0)
		wire_end(d->wire, WIRE_STOPPED, 0);
}

static void hear(struct dialog *d)
{
	char data[4096];
	size_t n = wire_receive(d->wire, data, sizeof(data));

	if (n == 0)
		return;
	if (!d->prompting) {
		screen_show(&d->screen, data, n);
		return;
	}
	screen_new_line(&d->screen);
	screen_show(&d->screen, data, n);
	screen_new_line(&d->screen);
	draw_prompt(d);
}

/* Says that something typed will not be sent, with a sound, and forgets it. */
static void refuse(struct dialog *d)
{
	memset(&d->key, 0, sizeof(d->key));
	screen_new_line(&d->screen);
	puts("\aNot sent: a NUL, or what is no character here.  In a pipe every byte is sent.");
	draw_prompt(d);
}

/* A byte of the terminal, at most.  1: *c is a character; 0: not yet; -1: end. */
static int read_key(struct dialog *d, wchar_t *c)
{
	bool begun = !mbsinit(&d->key);
	char byte;
	size_t n;

	if (read(STDIN_FILENO, &byte, 1) != 1)
		return -1;
	n = mbrtowc(c, &byte, 1, &d->key);
	if (n == (size_t)-1 && begun) { /* this byte may begin another one */
		refuse(d);
		n = mbrtowc(c, &byte, 1, &d->key);
	}
	if (n == 0 || n == (size_t)-1)
		refuse(d);
	return n == 1;
}

/* libedit calls this: 1 and a character, 0 for the end, or -1 and errno. */
static int get_key(EditLine *editor, wchar_t *c)
{
	struct dialog *d;
	int r = 0;

	el_get(editor, EL_CLIENTDATA, &d);
	while (r == 0) {
		struct pollfd fds[] = { { .fd = d->signals, .events = POLLIN },
					{ .fd = d->wire->fd, .events = POLLIN },
					{ .fd = STDIN_FILENO, .events = POLLIN } };

		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return -1;
		if (fds[0].revents)
			take_signal(d);
		if (fds[1].revents)
			hear(d);
		if (d->discarded || d->wire->end) {
			errno = EINTR;
			return -1;
		}
		if (fds[2].revents)
			r = read_key(d, c);
	}
	return r < 0 ? 0 : r;
}

static char *prompt(EditLine *editor)
{
	static char text[] = "> ";

	(void)editor;
	return text;
}

/* One wait for the server, and room to send.  False: silence. */
static bool attend(struct dialog *d, bool sending, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = d->signals, .events = POLLIN },
		{ .fd = d->wire->fd, .events = (short)(POLLIN | (sending ? POLLOUT : 0)) },
	};
	int n = poll(fds, 2, timeout_ms);

	if (n > 0 && fds[0].revents)
		take_signal(d);
	if (n > 0 && fds[1].revents & ~POLLOUT)
		hear(d);
	return n != 0;
}

/* Sends a line, and waits for as many bytes. */
static void exchange(struct dialog *d, const char *line, size_t n)
{
	struct wire *w = d->wire;
	uint64_t enough = w->received + n;
	size_t sent = 0;

	while (!w->end && sent < n && !w->half_closed)
		if (attend(d, true, -1) && !w->end)
			sent += wire_send(w, line + sent, n - sent);
	while (!w->end && w->received < enough)
		if (!attend(d, false, SILENCE_MS))
			break;
}

/* One line from the terminal.  NULL: the end of input, or none for now. */
static const char *ask(struct dialog *d)
{
	HistEvent event;
	const char *line;
	int n;

	screen_new_line(&d->screen);
	d->screen.line_begun = true; /* by the prompt */
	d->prompting = true;
	line = el_gets(d->editor, &n);
	d->prompting = false;
	prepare_terminal(d, true);
	if (!line || n <= 0)
		return NULL;
	d->screen.line_begun = false;
	if (*line != '\n')
		history(d->history, &event, H_ENTER, line);
	return line;
}

static void talk(struct dialog *d)
{
	while (!d->wire->end) {
		const char *line = ask(d);

		if (line)
			exchange(d, line, strlen(line));
		else if (!d->discarded)
			break;
		d->discarded = false;
	}
}

static void say_goodbye(struct dialog *d, int timeout_ms)
{
	struct wire *w = d->wire;

	if (!w->end)
		wire_half_close(w);
	screen_new_line(&d->screen);
	while (!w->end)
		if (!attend(d, false, timeout_ms))
			wire_end(w, WIRE_SILENT, 0);
	screen_new_line(&d->screen);
	if (w->end == WIRE_FINISHED)
		puts("Connection closed."); /* else the error says why */
	fflush(stdout);
}

/* Keys that edit nothing are text; without this libedit would drop them. */
static void bind_text(EditLine *editor)
{
	static const char *const keys[] = { "^I", "^G", "^O", "^Q", "^S", "^]", "^^", "^_" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		el_set(editor, EL_BIND, keys[i], "ed-insert", NULL);
}

/* 0 or -1. */
static int begin(struct dialog *d)
{
	static const int taken[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH, 0 };
	HistEvent event;

	setlocale(LC_CTYPE, "");
	if (strcmp(setlocale(LC_CTYPE, NULL), "C") == 0) /* not set; a terminal speaks UTF-8 */
		setlocale(LC_CTYPE, "C.UTF-8");
	screen_init(&d->screen, stdout);
	d->signals = signals_open(taken);
	if (d->signals < 0)
		return -1;
	d->history = history_init();
	d->editor = el_init("echoc", stdin, stdout, stderr);
	if (!d->history || !d->editor)
		return -1;
	history(d->history, &event, H_SETSIZE, HISTORY_LINES);
	history(d->history, &event, H_SETUNIQUE, 1);
	el_set(d->editor, EL_CLIENTDATA, d);
	el_set(d->editor, EL_PROMPT, prompt);
	el_set(d->editor, EL_EDITOR, "emacs");
	el_set(d->editor, EL_HIST, history, d->history);
	el_set(d->editor, EL_GETCFN, get_key);
	bind_text(d->editor);
	el_source(d->editor, NULL); /* ~/.editrc, as in other programs with libedit */
	prepare_terminal(d, true);
	return 0;
}

static void end(struct dialog *d)
{
	if (d->editor)
		el_end(d->editor);
	if (d->history)
		history_end(d->history);
	if (d->signals >= 0)
		(void)signals_close(d->signals);
}

int dialog_run(struct wire *wire, int timeout_ms)
{
	struct dialog d = { .wire = wire };
	int r = 0;

	if (begin(&d) == 0) {
		talk(&d);
		say_goodbye(&d, timeout_ms);
	} else {
		fprintf(stderr, "echoc: the terminal: %s\n", strerror(errno));
		r = EXIT_OTHER;
	}
	end(&d);
	return r;
}
