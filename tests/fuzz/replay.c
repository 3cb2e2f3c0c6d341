/* SPDX-License-Identifier: MIT */
/*
 * In place of libFuzzer: gives a harness every file of its corpus and of its
 * regressions once.  So each build and each sanitizer has them, whatever the
 * compiler.  With arguments it takes these files instead.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

static bool running;

/* No input may end the process, not even by exit(3). */
static void on_exit_in_between(void)
{
	if (!running)
		return;
	dprintf(2, "the harness has called exit()\n");
	_exit(1);
}

/* False if it is no regular file. */
static bool replay(const char *path)
{
	FILE *in = fopen(path, "r");
	struct stat st;
	uint8_t *data;
	size_t size;

	if (!in || fstat(fileno(in), &st) < 0) {
		perror(path);
		exit(1);
	}
	if (!S_ISREG(st.st_mode)) {
		fclose(in);
		return false;
	}
	size = (size_t)st.st_size;
	data = malloc(size ? size : 1); /* no byte more, so that ASan sees a read beyond it */
	if (!data || fread(data, 1, size, in) != size)
		abort();
	fclose(in);
	printf("# %s\n", path);
	fflush(stdout); /* the last one named is the one that failed */
	running = true;
	LLVMFuzzerTestOneInput(data, size);
	running = false;
	free(data);
	return true;
}

/* A folder, whose name is that of the harness.  Returns the number of files, or -1. */
static int replay_folder(const char *kind)
{
	const char *source = getenv("SRCDIR");
	struct dirent **names;
	char path[4096];
	int n, count = 0;

	snprintf(path, sizeof(path), "%s/tests/fuzz/%s/%s", source ? source : ".", kind,
		 program_invocation_short_name);
	n = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char file[sizeof(path) + 256];

		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		count += replay(file);
		free(names[i]);
	}
	if (n < 0)
		return -1;
	free(names);
	return count;
}

/* Whether the corpus has come to everything, as one test. */
static bool check_outcomes(int number)
{
	const struct fuzz_outcome *o = fuzz_outcomes;

	while (o->what && o->n > 0)
		o++;
	printf("%s %d - the corpus reaches %s\n", o->what ? "not ok" : "ok", number,
	       o->what ? o->what : "all that it must");
	return !o->what;
}

/* The same ones in every run; of sizes up to that of the longest life. */
static void replay_random(int number)
{
	static uint8_t data[4096];
	uint64_t x = 1;

	running = true;
	for (unsigned i = 0; i < fuzz_random_inputs; i++) {
		for (size_t k = 0; k < sizeof(data); k++) {
			x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			data[k] = (uint8_t)(x >> 56);
		}
		LLVMFuzzerTestOneInput(data, x >> 32 & (sizeof(data) - 1));
	}
	running = false;
	printf("ok %d - %u random inputs do no harm\n", number, fuzz_random_inputs);
}

/* Each folder is one test; not every harness has had a regression yet. */
static int replay_all(void)
{
	int corpus = replay_folder("corpus"), regressions, n = 1;
	bool good = corpus > 0;

	printf("%s 1 - corpus: %d files do no harm\n", corpus > 0 ? "ok" : "not ok", corpus);
	if (fuzz_outcomes)
		good &= check_outcomes(++n);
	if (&fuzz_random_inputs)
		replay_random(++n);
	regressions = replay_folder("regressions");
	if (regressions >= 0)
		printf("ok %d - regressions: %d files do no harm\n", ++n, regressions);
	printf("1..%d\n", n);
	return good ? 0 : 1;
}

int main(int argc, char *argv[])
{
	atexit(on_exit_in_between);
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	return argc > 1 ? 0 : replay_all();
}
