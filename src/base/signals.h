/*
 * signals: those that main obeys, as a descriptor (signalfd(2)).
 */
#ifndef ECHOD_SIGNALS_H
#define ECHOD_SIGNALS_H

/*
 * Blocks SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGABRT, and has them delivered even if
 * our parent ignored them; ignores SIGPIPE and SIGXFSZ.  Call it first of all, before
 * any thread: a signal that comes before is fatal, one that comes after is obeyed.
 */
void signals_block(void);

/* A non-blocking descriptor to wait for them, the caller's to close; or -errno. */
int signals_open(void);

/* The next signal, or 0 if there is none. */
int signals_next(int fd);

#endif
