/* Who gets the next certificate, and which authority may go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/ca.h>
#include <flotilla/errors/certificate.h>

#include "server-stub/core/certificate.h"

#define DAY_MS UINT64_C(86400000)
#define NOW_MS (UINT64_C(20000) * DAY_MS)

static struct flo_certificate_ask good(void)
{
    return (struct flo_certificate_ask){.is_active = true,
                                        .is_known = true,
                                        .state = FLO_CERTIFICATE_HELD,
                                        .until_ms = NOW_MS + 30 * DAY_MS,
                                        .now_ms = NOW_MS,
                                        .life_ms = FLO_CERTIFICATE_LIFE_MS,
                                        .grace_ms = FLO_CERTIFICATE_GRACE_MS};
}

static void says(struct flo_certificate_ask ask, int code)
{
    struct flo_err err = {0};

    assert_int_equal(flo_certificate_may_renew(&ask, &err), code);
    assert_int_equal(err.code, code);
}

static void a_device_that_is_active_gets_the_next(void **state)
{
    struct flo_certificate_ask ask = good();

    (void)state;
    says(ask, 0);
    ask.state = FLO_CERTIFICATE_ISSUED; /* its first words with it */
    says(ask, 0);
    ask.state = FLO_CERTIFICATE_REPLACED; /* the answer was lost */
    says(ask, 0);
    ask.is_known = false; /* the data come from a backup before it */
    says(ask, 0);
}

static void who_is_newer_than_the_data_is_unknown_and_not_retired(void **state)
{
    struct flo_certificate_ask ask = good();

    (void)state;
    ask.is_active = ask.is_known = false;
    ask.is_absent = true;
    says(ask, FLO_E_CERT_UNKNOWN);
    ask.is_out_of_date = true;
    says(ask, FLO_E_CERT_REVOKED);
}

static void who_is_retired_gets_none(void **state)
{
    struct flo_certificate_ask ask = good();

    (void)state;
    ask.is_active = false;
    says(ask, FLO_E_CERT_REVOKED);
    ask = good();
    ask.state = FLO_CERTIFICATE_REVOKED;
    says(ask, FLO_E_CERT_REVOKED);
    ask.is_out_of_date = true;
    ask.until_ms = NOW_MS - 1;
    says(ask, FLO_E_CERT_REVOKED);
}

static void one_that_ended_is_renewed_within_its_grace(void **state)
{
    struct flo_certificate_ask ask = good();

    (void)state;
    ask.is_out_of_date = true;
    ask.until_ms = NOW_MS - FLO_CERTIFICATE_GRACE_MS;
    says(ask, 0);
    ask.until_ms--;
    says(ask, FLO_E_CERT_OVERDUE);
    ask.until_ms = 0; /* ended in 1970 */
    says(ask, FLO_E_CERT_OVERDUE);
    ask.until_ms = NOW_MS + DAY_MS; /* our clock was ahead when it was made */
    says(ask, 0);
}

static void a_copy_of_an_old_disk_is_not_let_in_again(void **state)
{
    struct flo_certificate_ask ask = good();

    (void)state;
    ask.is_out_of_date = true;
    ask.until_ms = NOW_MS - 1;
    ask.state = FLO_CERTIFICATE_REPLACED;
    says(ask, FLO_E_CERT_OVERDUE);
    ask.state = FLO_CERTIFICATE_HELD;
    ask.is_known = false;
    says(ask, FLO_E_CERT_OVERDUE);
}

static void who_asks_and_asks_is_told_to_stop(void **state)
{
    struct flo_certificate_ask ask = good();

    (void)state;
    ask.count = FLO_CERTIFICATES_MAX - 1;
    says(ask, 0);
    ask.count++;
    says(ask, FLO_E_REST_LIMIT);
    ask.count = UINT64_MAX;
    says(ask, FLO_E_REST_LIMIT);
}

/* A controller whose clock is wrong refuses nobody for good. */
static void clocks_of_1970_and_2060_do_not_overflow(void **state)
{
    struct flo_certificate_ask ask = good();

    (void)state;
    ask.now_ms = 1000;
    ask.is_out_of_date = true; /* not yet valid */
    says(ask, 0);
    ask = good();
    ask.now_ms = NOW_MS + UINT64_C(34) * 365 * DAY_MS;
    ask.is_out_of_date = true;
    says(ask, FLO_E_CERT_OVERDUE);
    ask.now_ms = NOW_MS;
    ask.is_out_of_date = false;
    says(ask, 0);
}

static void an_authority_goes_when_nobody_holds_its_certificates(void **state)
{
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_authority_may_retire(false, 0, false, &err), 0);
    assert_int_equal(flo_authority_may_retire(false, 1, false, &err), FLO_E_CA_HELD);
    assert_int_equal(flo_authority_may_retire(false, 1, true, &err), 0);
    assert_int_equal(flo_authority_may_retire(true, 0, true, &err), FLO_E_STATE);
}

static void words_and_states_are_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < FLO_CERTIFICATE_STATES; i++) {
        assert_int_equal(flo_certificate_parse(flo_certificate_word((enum flo_certificate_state)i)),
                         i);
    }
    assert_int_equal(flo_certificate_parse("lost"), FLO_CERTIFICATE_STATES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_that_is_active_gets_the_next),
        cmocka_unit_test(who_is_newer_than_the_data_is_unknown_and_not_retired),
        cmocka_unit_test(who_is_retired_gets_none),
        cmocka_unit_test(one_that_ended_is_renewed_within_its_grace),
        cmocka_unit_test(a_copy_of_an_old_disk_is_not_let_in_again),
        cmocka_unit_test(who_asks_and_asks_is_told_to_stop),
        cmocka_unit_test(clocks_of_1970_and_2060_do_not_overflow),
        cmocka_unit_test(an_authority_goes_when_nobody_holds_its_certificates),
        cmocka_unit_test(words_and_states_are_the_same),
    };
    return cmocka_run_group_tests_name("certificate", tests, NULL, NULL);
}
