/* Words that a browser brings back to `flotilla login`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/cli/people/callback.h"

static struct flo_callback back;

static void a_request_and_a_pasted_address_say_the_same(void **state)
{
    (void)state;
    assert_true(
        flo_callback_read("GET "
                          "/callback?state=s-1&code=x%2Fy+z&session_state=7&iss=https%3A%2F%2F"
                          "id HTTP/1.1",
                          &back));
    assert_string_equal(back.state, "s-1");
    assert_string_equal(back.code, "x/y z");
    assert_string_equal(back.issuer, "https://id");
    assert_true(
        flo_callback_read("http://127.0.0.1:7/callback?error=access_denied&state=s-1#x\n", &back));
    assert_string_equal(back.error, "access_denied");
    assert_string_equal(back.code, "");
}

static void what_is_no_answer_of_a_provider_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "GET / HTTP/1.1",
        "GET /callback HTTP/1.1",
        "/callback?code=x",                 /* no state */
        "/callback?state=s",                /* nothing else */
        "/callback?state=s&code=x&error=y", /* both */
        "/callback?state=s&state=t&code=x", /* twice */
        "/callback?state=s&code=%0d%0aX",   /* lines */
        "/callback?state=s&code=%",         /* half a byte */
        "/callback?state=s&code=%2",
        "/callback?state=s&code=%zz",
        "/callback?state=s&code=\xc3\xa4",
    };
    char much[4096];

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        if (flo_callback_read(bad[i], &back)) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    memset(much, 'x', sizeof(much) - 1);
    much[sizeof(much) - 1] = '\0';
    memcpy(much, "/callback?state=s&code=", 23);
    assert_false(flo_callback_read(much, &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_and_a_pasted_address_say_the_same),
        cmocka_unit_test(what_is_no_answer_of_a_provider_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
