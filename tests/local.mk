# Tests speak TAP; the harness runs them in parallel with "make check -j".

EXTRA_DIST += tests
dist-hook:
	find $(distdir)/tests -name __pycache__ -prune -exec rm -rf {} +

AM_TESTS_ENVIRONMENT = \
	CRITERION_OUTPUTS='tap:-'; export CRITERION_OUTPUTS; \
	ECHOD='$(abs_top_builddir)/src/echod'; export ECHOD; \
	ECHOC='$(abs_top_builddir)/src/echoc/echoc'; export ECHOC; \
	BUILDDIR='$(abs_top_builddir)'; export BUILDDIR; \
	SANITIZERS='$(sanitizers)'; export SANITIZERS; \
	SRCDIR='$(abs_top_srcdir)'; export SRCDIR; \
	PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE;

tap_driver = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
LOG_DRIVER = $(tap_driver)
TEST_EXTENSIONS = .py
PY_LOG_DRIVER = $(tap_driver)
PY_LOG_COMPILER = $(PYTHON3)

TESTS =
check_LIBRARIES =
check_PROGRAMS =
EXTRA_PROGRAMS =

# One program for each room that can be tested apart.

if UNIT_TESTS
unit_tests = \
	tests/unit/acceptor \
	tests/unit/address \
	tests/unit/conf \
	tests/unit/connection \
	tests/unit/connections \
	tests/unit/fdpass \
	tests/unit/job \
	tests/unit/limiter \
	tests/unit/listeners \
	tests/unit/log \
	tests/unit/loop \
	tests/unit/option \
	tests/unit/poller \
	tests/unit/preflight \
	tests/unit/watch \
	tests/unit/refusal_log \
	tests/unit/server \
	tests/unit/state \
	tests/unit/trace \
	tests/unit/worker

check_LIBRARIES += tests/unit/libhelper.a
tests_unit_libhelper_a_SOURCES = tests/unit/helper.c tests/unit/helper.h
helper = tests/unit/helper.$(OBJEXT) # and not the library, of which it would take what is called only
tests_unit_server_SOURCES = tests/unit/server.c $(failing)

# Memory may fail.
tests_unit_connection_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc

# The clock, and what clients have acknowledged, are the test's.
tests_unit_connections_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_gettime,--wrap=tcp_unacknowledged

# A client that is faster than any.
tests_unit_worker_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=send,--wrap=recv

# An error of accept(2), which seldom happens.
tests_unit_acceptor_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=accept4

# The journal of the machine has no part in a test.
tests_unit_log_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=sendmsg

# Each of these calls fails in its turn.
failing = tests/unit/failing.c tests/unit/failing.h
failing_flags = $(AM_LDFLAGS) \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=reallocarray,--wrap=aligned_alloc,--wrap=mmap \
	-Wl,--wrap=getrandom,--wrap=getrlimit,--wrap=setrlimit,--wrap=sched_getaffinity \
	-Wl,--wrap=pthread_create,--wrap=epoll_create1,--wrap=epoll_ctl,--wrap=eventfd \
	-Wl,--wrap=signalfd,--wrap=memfd_create,--wrap=pipe2,--wrap=poll,--wrap=fcntl \
	-Wl,--wrap=socket,--wrap=socketpair,--wrap=bind,--wrap=listen,--wrap=connect \
	-Wl,--wrap=getsockname,--wrap=getpeername,--wrap=getsockopt,--wrap=setsockopt \
	-Wl,--wrap=sendmsg,--wrap=recvmsg,--wrap=send,--wrap=recv,--wrap=read,--wrap=write \
	-Wl,--wrap=open,--wrap=fstat,--wrap=fdopen,--wrap=fopen,--wrap=fmemopen,--wrap=fflush \
	-Wl,--wrap=open_memstream,--wrap=strdup \
	-Wl,--wrap=mmap64,--wrap=fcntl64,--wrap=open64,--wrap=fstat64,--wrap=fopen64
tests_unit_client_LDFLAGS = $(failing_flags)

# What only a real service manager knows is said by the test.
tests_unit_server_LDFLAGS = $(failing_flags) \
	-Wl,--wrap=job_process,--wrap=notify_send,--wrap=notify_barrier

# Those of the client.
client_tests = \
	tests/unit/client \
	tests/unit/histogram \
	tests/unit/payload \
	tests/unit/ring \
	tests/unit/stream \
	tests/unit/target
client_libs = $(helper) src/echoc/libechoc.a src/libechod.a $(JANSSON_LIBS) $(ZLIB_LIBS) $(PTHREAD_LIBS) \
	$(CRITERION_LIBS) -lm
tests_unit_client_SOURCES = tests/unit/client.c $(failing)
tests_unit_client_LDADD = $(client_libs) $(LIBEDIT_LIBS) $(SECCOMP_LIBS)
tests_unit_histogram_LDADD = $(client_libs)
tests_unit_payload_LDADD = $(client_libs)
tests_unit_ring_LDADD = $(client_libs)
tests_unit_stream_LDADD = $(client_libs)
tests_unit_target_LDADD = $(client_libs)

check_PROGRAMS += $(unit_tests) $(client_tests)
TESTS += $(unit_tests) $(client_tests)
AM_CPPFLAGS += $(CRITERION_CFLAGS)
LDADD = $(helper) src/libechod.a $(CONFUSE_LIBS) $(SYSTEMD_LIBS) $(SECCOMP_LIBS) \
	$(PTHREAD_LIBS) $(CRITERION_LIBS)
endif

# What an attacker could choose: here their corpora are replayed, in every build;
# "./dev fuzz" builds the same harnesses with libFuzzer.

fuzzers = \
	tests/fuzz/args \
	tests/fuzz/conf \
	tests/fuzz/connection \
	tests/fuzz/handover \
	tests/fuzz/worker
if FUZZERS
fuzz_flags = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_PROGRAMS += $(fuzzers)
else
replay = tests/fuzz/libreplay.a
fuzz_flags = $(AM_LDFLAGS)
check_PROGRAMS += $(fuzzers)
TESTS += $(fuzzers)
endif
check_LIBRARIES += tests/fuzz/libreplay.a
tests_fuzz_libreplay_a_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz.h
fuzz_libs = $(replay) src/libechod.a $(CONFUSE_LIBS) $(SYSTEMD_LIBS) $(SECCOMP_LIBS) $(PTHREAD_LIBS)
tests_fuzz_args_LDADD = src/echoc/libechoc.a $(fuzz_libs) -lm
tests_fuzz_conf_LDADD = $(fuzz_libs)
tests_fuzz_connection_LDADD = $(fuzz_libs)
tests_fuzz_handover_LDADD = $(fuzz_libs)
tests_fuzz_worker_LDADD = $(fuzz_libs)

# No server is asked for names; the kernel's answers are the input's; and the store
# of a manager is in the harness.
tests_fuzz_args_LDFLAGS = $(fuzz_flags) -Wl,--wrap=getaddrinfo
tests_fuzz_conf_LDFLAGS = $(fuzz_flags)
tests_fuzz_worker_LDFLAGS = $(fuzz_flags)
tests_fuzz_connection_LDFLAGS = $(fuzz_flags) \
	-Wl,--wrap=malloc,--wrap=read,--wrap=recv,--wrap=send,--wrap=splice
tests_fuzz_handover_LDFLAGS = $(fuzz_flags) -Wl,--wrap=notify_send

.PHONY: fuzzers
fuzzers: $(fuzzers)

# The real daemon, driven over sockets.

functional_tests = \
	tests/functional/test_accept.py \
	tests/functional/test_client.py \
	tests/functional/test_confine.py \
	tests/functional/test_echo.py \
	tests/functional/test_echoc.py \
	tests/functional/test_ends.py \
	tests/functional/test_handover.py \
	tests/functional/test_idle.py \
	tests/functional/test_inject.py \
	tests/functional/test_journal.py \
	tests/functional/test_limits.py \
	tests/functional/test_listeners.py \
	tests/functional/test_log.py \
	tests/functional/test_mutations.py \
	tests/functional/test_network.py \
	tests/functional/test_notify.py \
	tests/functional/test_numbers.py \
	tests/functional/test_options.py \
	tests/functional/test_outages.py \
	tests/functional/test_ping.py \
	tests/functional/test_reload.py \
	tests/functional/test_report.py \
	tests/functional/test_rescue.py \
	tests/functional/test_shim.py \
	tests/functional/test_signals.py \
	tests/functional/test_swarm.py \
	tests/functional/test_talk.py \
	tests/functional/test_terminal.py \
	tests/functional/test_timeouts.py \
	tests/functional/test_trace.py

# What main does before there is another thread, so ThreadSanitizer has nothing to find.
start_tests = \
	tests/functional/test_activation.py \
	tests/functional/test_cmdline.py \
	tests/functional/test_conf.py \
	tests/functional/test_cpus.py \
	tests/functional/test_hostile.py

# What does not depend on how the daemon was compiled, or is not for a sanitizer's build.
static_tests = \
	tests/functional/test_bench.py \
	tests/functional/test_demo.py \
	tests/functional/test_dev.py \
	tests/functional/test_docs.py \
	tests/functional/test_faults.py \
	tests/functional/test_install.py \
	tests/functional/test_kernel.py \
	tests/functional/test_models.py \
	tests/functional/test_mutate.py \
	tests/functional/test_overload.py \
	tests/functional/test_peers.py \
	tests/functional/test_probes.py \
	tests/functional/test_promises.py \
	tests/functional/test_soak.py \
	tests/functional/test_source.py \
	tests/functional/test_valgrind.py

# Every order of events in the hand-off, by spin; skipped without it.

model_tests = tests/model/test_handoff.py

# Analysers over src, for "./dev analyze"; they need the preprocessor's flags.

.PHONY: flags
flags:
	@printf '%s\n' $(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS)

# A real systemd in a container; skipped where none can be booted.

system_tests = \
	tests/system/test_confine.py \
	tests/system/test_journal.py \
	tests/system/test_restart.py \
	tests/system/test_sandbox.py \
	tests/system/test_service.py \
	tests/system/test_socket.py \
	tests/system/test_watchdog.py

# A daemon of the time to come.
versions = tests/system/newer
EXTRA_PROGRAMS += $(versions)
tests_system_newer_SOURCES = src/main.c tests/system/newer.c
tests_system_newer_LDADD = $(src_echod_LDADD)
tests_system_newer_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=state_write_header,--wrap=state_write_record

# What the kernel and malloc seldom do, loaded before everything else; no part of what is sanitized or hardened.
shim = tests/shim/shim.so
EXTRA_PROGRAMS += $(shim)
tests_shim_shim_so_SOURCES = tests/shim/shim.c
tests_shim_shim_so_CFLAGS = -Wall -Wextra -fPIC
tests_shim_shim_so_LDFLAGS = -shared
tests_shim_shim_so_LDADD =

if FUNCTIONAL_TESTS
TESTS += $(functional_tests)
check_PROGRAMS += $(versions) $(shim)
if !THREAD_SANITIZER
TESTS += $(start_tests)
endif
if !INSTRUMENTED
TESTS += $(static_tests) $(model_tests) $(system_tests)
endif
endif

# The same echo, by each way of waiting; those that "./dev compare" compares.

model_programs = \
	tests/bench/models/epoll \
	tests/bench/models/poll \
	tests/bench/models/select \
	tests/bench/models/thread
EXTRA_LIBRARIES = tests/bench/libpeer.a
tests_bench_libpeer_a_SOURCES = tests/bench/models/model.c tests/bench/models/model.h \
	tests/bench/peers/peer.c tests/bench/peers/peer.h
tests_bench_models_epoll_LDADD = tests/bench/libpeer.a
tests_bench_models_poll_LDADD = tests/bench/libpeer.a
tests_bench_models_select_LDADD = tests/bench/libpeer.a
tests_bench_models_thread_LDADD = tests/bench/libpeer.a $(PTHREAD_LIBS)

if URING
model_programs += tests/bench/models/uring
tests_bench_models_uring_CPPFLAGS = $(AM_CPPFLAGS) $(URING_CFLAGS)
tests_bench_models_uring_LDADD = tests/bench/libpeer.a $(URING_LIBS)
endif

if !INSTRUMENTED
check_PROGRAMS += $(model_programs)
else
EXTRA_PROGRAMS += $(model_programs)
endif
.PHONY: models
models: $(model_programs)

# Built on demand: "./dev bench".

bench_programs = tests/bench/bare tests/bench/sequence tests/bench/splice
tests_bench_bare_LDADD = tests/bench/libpeer.a
tests_bench_sequence_LDADD = tests/bench/libpeer.a
tests_bench_splice_LDADD = tests/bench/libpeer.a
EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(EXTRA_PROGRAMS)
.PHONY: bench-programs
bench-programs: $(bench_programs)

# The peers are compiled by tests/functional/peers.py, each if its library is there.

clean-local:
	rm -rf tests/bench/peers/go-cache
	-cd tests/bench/peers && rm -f asio gonet libev libevent libuv
