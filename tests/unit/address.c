/* SPDX-License-Identifier: MIT */
#include "base/address.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "helper.h"

TestSuite(address, .timeout = HELPER_TIMEOUT);

static void check_text(const char *text, const char *canonical)
{
	struct address address = helper_address(text), again;
	char buffer[ADDRESS_TEXT];

	cr_assert_str_eq(address_format(&address, buffer), canonical, "%s gives %s", text, buffer);
	again = helper_address(buffer);
	cr_assert(address_equal(&address, &again) && again.size == address.size, "%s", buffer);
}

/* A text in its usual form comes back as it was, and other spellings of it in that form. */
TEST(address, round_trip)
{
	static const char *const texts[][2] = {
		{ "0.0.0.0:0" },
		{ "127.0.0.1:007", "127.0.0.1:7" },
		{ "255.255.255.255:65535" },
		{ "[::]:0" },
		{ "[0:0:0:0:0:0:0:0]:00007", "[::]:7" },
		{ "[::%0]:7", "[::]:7" }, /* only a link-local address has a zone */
		{ "[::1%1]:7", "[::1]:7" },
		{ "[2001:DB8:0:0:0:0:0:1]:7", "[2001:db8::1]:7" },
		{ "[2001:db8:1:2:3:4:5:6]:7" },
		{ "[::ffff:192.0.2.1]:7" },
		{ "[fe80::1%no-such0]:7" },
		{ "[fe80::1%4294967295]:7" }, /* no such interface: the number stays */
		{ "[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535" },
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		check_text(texts[i][0], texts[i][1] ? texts[i][1] : texts[i][0]);
}

/* A zone is found when it is needed. */
TEST(address, zone)
{
	struct {
		const char *text;
		int expected;
		uint32_t scope;
	} rows[] = {
		{ "[fe80::1%no-such0]:7", -ENODEV, 0 },	       { "[fe80::1%0]:7", -ENODEV, 0 },
		{ "[fe80::1%4294967295]:7", 0, UINT32_MAX },   { "[::1]:7", 0, 0 },
		{ "[fe80::1%lo]:7", 0, if_nametoindex("lo") },
	};

	for (size_t i = 0; i < COUNT(rows) - (rows[4].scope == 0); i++) {
		struct address address = helper_address(rows[i].text), resolved;

		cr_assert_eq(address_resolve(&address, &resolved), rows[i].expected, "%s",
			     rows[i].text);
		if (rows[i].expected == 0)
			cr_assert(resolved.v6.sin6_scope_id == rows[i].scope && !*resolved.zone);
	}
}

/* On some addresses no machine can listen, and only these are found here. */
TEST(address, unfit)
{
	static const struct {
		const char *text;
		bool unfit;
	} rows[] = {
		{ "[fe80::1]:7", true },       { "[::ffff:127.0.0.1]:7", true },
		{ "224.0.0.1:7", true },       { "[ff02::1]:7", true },
		{ "[fe80::1%eth0]:7", false }, { "[::]:7", false },
		{ "[::1%1]:7", false },	       { "0.0.0.0:7", false },
		{ "127.0.0.1:0", false },      { "240.0.0.1:7", false },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address address = helper_address(rows[i].text);

		cr_expect_eq(address_unfit(&address) != NULL, rows[i].unfit, "%s", rows[i].text);
	}
}

/* Family, size, port and bytes are those that bind(2) wants. */
TEST(address, parts)
{
	struct address v4 = helper_address("192.0.2.1:65535");
	struct address v6 = helper_address("[2001:db8::1]:258");

	cr_assert_eq(v4.any.sa_family, AF_INET);
	cr_assert_eq(v4.size, sizeof(struct sockaddr_in));
	cr_assert_eq(v4.v4.sin_addr.s_addr, htonl(0xc0000201));
	cr_assert_eq(v4.v4.sin_port, htons(65535));
	cr_assert_eq(address_port(&v4), 65535);
	cr_assert_eq(v6.any.sa_family, AF_INET6);
	cr_assert_eq(v6.size, sizeof(struct sockaddr_in6));
	cr_assert_eq(v6.v6.sin6_addr.s6_addr[0], 0x20);
	cr_assert_eq(v6.v6.sin6_addr.s6_addr[15], 1);
	cr_assert_eq(v6.v6.sin6_scope_id, 0);
	cr_assert_eq(address_port(&v6), 258);
}

/* What people read in different ways, or what is no address, is refused. */
TEST(address, refusals)
{
	static const char *const texts[] = {
		"", ":", "7", ":7", "[]:7", "[]", "[", "]", "]:7",
		/* no port, or none that is one */
		"127.0.0.1", "127.0.0.1:", "[::1]", "[::1]:", "127.0.0.1:65536", "[::1]:65536",
		"127.0.0.1:65543", "127.0.0.1:99999", "127.0.0.1:000007", "127.0.0.1:4294967303",
		"127.0.0.1:+7", "127.0.0.1:-1", "127.0.0.1: 7", "127.0.0.1:7 ", "127.0.0.1:7\n",
		"127.0.0.1:0x7", "127.0.0.1:7.0", "127.0.0.1:7:7", "127.0.0.1:echo", "[::1]:echo",
		/* no address, or one of many readings */
		" 127.0.0.1:7", "127.0.0.1 :7", "127.1:7", "127:7", "2130706433:7", "0177.0.0.1:7",
		"0x7f.0.0.1:7", "127.0.0.256:7", "127.0.0.1.:7", "127.0.0:7", "1.2.3.4.5:7",
		"localhost:7", "[localhost]:7", "example.org:7", "*:7", "127.0.0.1%lo:7",
		/* brackets */
		"::1:7", ":::7", "2001:db8::1:7", "[127.0.0.1]:7", "[127.1]:7", "[::1]7", "[::1]x7",
		"[::1", "[::1:7", "::1]:7", "[[::1]]:7", "[::1]]:7", "[::1]:[7]", " [::1]:7",
		"[ ::1]:7", "[::1 ]:7", "[::1] :7", "[::1]::7", "[:::1]:7", "[1:2:3:4:5:6:7]:7",
		"[1:2:3:4:5:6:7:8:9]:7", "[12345::]:7", "[::g]:7", "[::1.2.3]:7",
		/* zones */
		"[fe80::1%]:7", "[fe80::1%longer-than-any0]:7", "[fe80::1%4294967296]:7",
		"[fe80::1%a b]:7", "[fe80::1%a/b]:7", "[fe80::1%..]:7", "[fe80::1%\"]:7",
		"[::1%lo]:7", "[%1]:7"
	};
	struct address address;

	for (size_t i = 0; i < COUNT(texts); i++)
		cr_expect_eq(address_parse(&address, texts[i]), -EINVAL, "\"%s\" should be refused",
			     texts[i]);
}

/* However long a text is, it is refused and not written beyond any end. */
TEST(address, too_long)
{
	static char text[100000];
	struct address address;

	for (size_t size = ADDRESS_TEXT - 2; size < ADDRESS_TEXT + 2; size++) {
		memset(text, '1', size);
		text[size] = '\0';
		cr_assert_eq(address_parse(&address, text), -EINVAL);
		text[0] = '[';
		memcpy(text + size - 3, "]:7", 3);
		cr_assert_eq(address_parse(&address, text), -EINVAL);
	}
	memset(text, ':', sizeof(text) - 1);
	cr_assert_eq(address_parse(&address, text), -EINVAL);
	memset(text, '[', sizeof(text) - 1);
	cr_assert_eq(address_parse(&address, text), -EINVAL);
}

/* Equal means same family, address, zone and port, nothing else. */
TEST(address, equality)
{
	static const char *const different[] = { /* of each family and port */
						 "127.0.0.1:7",
						 "127.0.0.1:8",
						 "127.0.0.2:7",
						 "0.0.0.0:7",
						 "0.0.0.0:0",
						 "[::]:7",
						 "[::]:0",
						 "[::1]:7",
						 "[::1]:8",
						 "[::2]:7",
						 "[::ffff:127.0.0.1]:7",
						 "[fe80::1]:7",
						 "[fe80::1%1]:7",
						 "[fe80::1%2]:7",
						 "[::7f00:1]:7"
	};

	for (size_t i = 0; i < COUNT(different); i++)
		for (size_t j = 0; j < COUNT(different); j++) {
			struct address a = helper_address(different[i]);
			struct address b = helper_address(different[j]);

			if (b.any.sa_family == AF_INET6) /* which does not count */
				b.v6.sin6_flowinfo = 1;
			cr_expect_eq(address_equal(&a, &b), i == j, "%s and %s", different[i],
				     different[j]);
		}
}

/* What is no address is printed too, as such. */
TEST(address, unknown)
{
	struct address address;
	char buffer[ADDRESS_TEXT];

	memset(&address, 0, sizeof(address));
	cr_assert_str_eq(address_format(&address, buffer), "(unknown)");
	address.any.sa_family = AF_UNIX;
	address.size = sizeof(address.any);
	cr_assert_str_neq(address_format(&address, buffer), "");
}
