/* The contract of the store, over every engine: certificates of devices. */
#include "unit/server/store/store.h"

static void add(struct flo_fleet_store *store, const char *serial, const char *device,
                uint64_t issued_at_ms, uint64_t until_ms)
{
    struct flo_err err = {0};
    const struct flo_fleet_certificate one = {.serial = serial,
                                              .device = device,
                                              .authority = "aa",
                                              .state = FLO_CERTIFICATE_ISSUED,
                                              .issued_at_ms = issued_at_ms,
                                              .until_ms = until_ms};

    assert_int_equal(flo_fleet_certificate_add(store, &one, &err), 0);
}

static void held(struct flo_fleet_store *store, const char *device, const char *serial)
{
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_certificate_held(store, device, serial, &err), 0);
}

static int say(void *context, const struct flo_fleet_certificate *one)
{
    flo_buf_printf(context, "%s of %.4s, %s; ", one->serial, one->device,
                   flo_certificate_word(one->state));
    return 0;
}

static void are(struct flo_fleet_store *store, enum flo_certificate_state state, uint64_t until_ms,
                const char *expected)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) said = {0};
    struct flo_err err = {0};

    flo_buf_text(&said, "");
    assert_int_equal(flo_fleet_certificate_list(store, state, until_ms, say, &said, &err), 0);
    assert_string_equal(said.bytes > 0 ? said.data : "", expected);
}

static void the_one_that_a_device_holds_replaces_those_before(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    add(store, "01", DEVICE, 10, 100);
    add(store, "02", DEVICE, 60, 160);
    add(store, "03", OTHER, 60, 160);
    held(store, DEVICE, "01");
    are(store, FLO_CERTIFICATE_HELD, 0, "01 of 1111, held; ");
    /* Issued is not held: its answer may be lost. */
    are(store, FLO_CERTIFICATE_ISSUED, 0, "02 of 1111, issued; 03 of 2222, issued; ");
    held(store, DEVICE, "02");
    held(store, DEVICE, "02");
    are(store, FLO_CERTIFICATE_HELD, 0, "02 of 1111, held; ");
    are(store, FLO_CERTIFICATE_REPLACED, 0, "01 of 1111, replaced; ");
    /* The old one, said again, changes nothing. */
    held(store, DEVICE, "01");
    are(store, FLO_CERTIFICATE_HELD, 0, "02 of 1111, held; ");

    struct flo_buf FLO_CLEANUP(flo_buf_deinit) said = {0};
    assert_int_equal(flo_fleet_certificate_get(store, "01", say, &said, &err), 0);
    assert_string_equal(said.data, "01 of 1111, replaced; ");
    assert_int_equal(flo_fleet_certificate_get(store, "09", say, &said, &err), FLO_E_ABSENT);
}

static void a_device_speaks_of_its_own_certificates_alone(void **state)
{
    struct flo_fleet_store *store = store_of(state);

    add(store, "01", DEVICE, 10, 100);
    add(store, "03", OTHER, 10, 100);
    held(store, DEVICE, "01");
    held(store, OTHER, "01");
    held(store, DEVICE, "03");
    held(store, DEVICE, "04");
    are(store, FLO_CERTIFICATE_HELD, 0, "01 of 1111, held; ");
    are(store, FLO_CERTIFICATE_ISSUED, 0, "03 of 2222, issued; ");
}

static void a_serial_is_given_once(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    const struct flo_fleet_certificate one = {.serial = "01",
                                              .device = OTHER,
                                              .authority = "aa",
                                              .state = FLO_CERTIFICATE_ISSUED,
                                              .issued_at_ms = 1,
                                              .until_ms = 2};
    struct flo_err err = {0};

    add(store, "01", DEVICE, 10, 100);
    assert_int_equal(flo_fleet_certificate_add(store, &one, &err), FLO_E_STATE);
    are(store, FLO_CERTIFICATE_ISSUED, 0, "01 of 1111, issued; ");
}

static void all_of_a_retired_device_are_revoked_until_their_end(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    add(store, "01", DEVICE, 10, 100);
    add(store, "02", DEVICE, 60, 160);
    add(store, "03", OTHER, 60, 160);
    held(store, DEVICE, "01");
    assert_int_equal(flo_fleet_device_retire(store, DEVICE, &err), 0);
    are(store, FLO_CERTIFICATE_REVOKED, 0, "01 of 1111, revoked; 02 of 1111, revoked; ");
    are(store, FLO_CERTIFICATE_REVOKED, 100, "02 of 1111, revoked; ");
    held(store, DEVICE, "02"); /* the thief says so */
    are(store, FLO_CERTIFICATE_HELD, 0, "");
    assert_int_equal(flo_fleet_certificate_prune(store, 160, &err), 0);
    are(store, FLO_CERTIFICATE_REVOKED, 0, "02 of 1111, revoked; ");
    are(store, FLO_CERTIFICATE_ISSUED, 0, "03 of 2222, issued; ");
}

static void those_of_a_time_are_counted(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t count = 0;

    add(store, "01", DEVICE, 10, 100);
    add(store, "02", DEVICE, 60, 160);
    add(store, "03", OTHER, 60, 160);
    assert_int_equal(flo_fleet_certificate_count(store, DEVICE, 10, &count, &err), 0);
    assert_int_equal(count, 2);
    assert_int_equal(flo_fleet_certificate_count(store, DEVICE, 11, &count, &err), 0);
    assert_int_equal(count, 1);
    held(store, DEVICE, "02");
    held(store, OTHER, "03");
    assert_int_equal(
        flo_fleet_certificate_ending(store, FLO_CERTIFICATE_HELD, 159, 160, &count, &err), 0);
    assert_int_equal(count, 2);
    assert_int_equal(
        flo_fleet_certificate_ending(store, FLO_CERTIFICATE_HELD, 160, 999, &count, &err), 0);
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(the_one_that_a_device_holds_replaces_those_before),
        OVER_ALL(a_device_speaks_of_its_own_certificates_alone),
        OVER_ALL(a_serial_is_given_once),
        OVER_ALL(all_of_a_retired_device_are_revoked_until_their_end),
        OVER_ALL(those_of_a_time_are_counted),
    };
    return run_over_all("store_certificates", tests, FLO_COUNT(tests));
}
