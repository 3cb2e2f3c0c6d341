/*
 * manager: what the service manager answers, by the system bus
 * (org.freedesktop.systemd1(5)).
 *
 * A SIGTERM does not say whether it is a stop or a restart, but the job of our
 * unit does.  Main thread only.
 */
#ifndef ECHOD_MANAGER_H
#define ECHOD_MANAGER_H

/*
 * Asks whether we are being restarted, and can store descriptors meanwhile.
 * Takes about a millisecond, and a second at most.
 *
 * Returns 1 or 0, or -errno if there is nobody to ask: no bus, or no unit.
 */
int manager_is_restarting(void);

#endif
