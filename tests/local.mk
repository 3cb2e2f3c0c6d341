# Tests speak TAP; the harness runs them in parallel with "make check -j".

EXTRA_DIST += tests/README.md

AM_TESTS_ENVIRONMENT = \
	CRITERION_OUTPUTS='tap:-'; export CRITERION_OUTPUTS; \
	ECHOD='$(abs_top_builddir)/src/echod'; export ECHOD; \
	BUILDDIR='$(abs_top_builddir)'; export BUILDDIR; \
	SRCDIR='$(abs_top_srcdir)'; export SRCDIR; \
	PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE;

tap_driver = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
LOG_DRIVER = $(tap_driver)
TEST_EXTENSIONS = .py
PY_LOG_DRIVER = $(tap_driver)
PY_LOG_COMPILER = $(PYTHON3)

TESTS =
check_PROGRAMS =

# One program for each room that can be tested apart.

if UNIT_TESTS
unit_tests = \
	tests/unit/address \
	tests/unit/conf \
	tests/unit/connection \
	tests/unit/limiter \
	tests/unit/list \
	tests/unit/log \
	tests/unit/option \
	tests/unit/poller

check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
AM_CPPFLAGS += $(CRITERION_CFLAGS)
LDADD = src/libechod.a $(CONFUSE_LIBS) $(SYSTEMD_LIBS) $(PTHREAD_LIBS) $(CRITERION_LIBS)
endif
