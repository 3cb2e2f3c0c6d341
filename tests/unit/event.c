#include "base/event.h"

#include <string.h>
#include <syslog.h>

#include "helper.h"

TestSuite(event, .timeout = HELPER_TIMEOUT);

/* Each kind has all that a record needs, in the form that the journal wants. */
TEST(event, complete)
{
	for (int i = 0; i < EVENTS; i++) {
		const struct event_kind *kind = &event_kinds[i];

		cr_assert(kind->id && kind->name, "event %d", i);
		cr_expect_eq(strlen(kind->id), 32, "%s", kind->name);
		cr_expect_eq(strspn(kind->id, "0123456789abcdef"), 32, "%s", kind->name);
		cr_expect_gt(strlen(kind->name), 0);
		cr_expect_eq(strspn(kind->name, "abcdefghijklmnopqrstuvwxyz_0123456789"),
			     strlen(kind->name), "%s", kind->name);
		cr_expect(kind->level >= LOG_ERR && kind->level <= LOG_INFO, "%s", kind->name);
	}
}

/* No id and no name means two things. */
TEST(event, unique)
{
	for (int i = 0; i < EVENTS; i++)
		for (int j = 0; j < i; j++) {
			cr_expect_str_neq(event_kinds[i].id, event_kinds[j].id);
			cr_expect_str_neq(event_kinds[i].name, event_kinds[j].name);
		}
}
