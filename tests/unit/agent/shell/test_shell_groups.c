/* A device's groups: a signed statement about the one device replaces those of
 * its enrolment; a carrier of messages can forge, replay or widen none. */
#include <flotilla/errors/cmd.h>

#include "order_world.h"

#define THIS "{\"device\":\"" DEVICE_ID "\"}"
#define OTHER "{\"device\":\"22222222-2222-4222-8222-222222222222\"}"
#define LAB "{\"group\":\"lab\"}"

static void groups(uint64_t number, const char *list)
{
    char args[256];

    scope = THIS;
    snprintf(args, sizeof(args), "\"groups\":[%s]", list);
    order(number, begun_ms, "groups", args);
}

static void pause(uint64_t number, const char *of)
{
    char args[64];

    scope = of;
    snprintf(args, sizeof(args), "\"rollout\":\"r-%llu\"", (unsigned long long)number);
    order(number, begun_ms, "pause", args);
}

static bool is_in(const char *group)
{
    size_t count;
    const char(*all)[FLO_NAME_MAX + 1] = flo_shell_groups(&shell, &count);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i], group) == 0) {
            return true;
        }
    }
    return false;
}

static void a_statement_replaces_the_groups_of_the_enrolment(void **state)
{
    (void)state;
    strcpy(shell.identity.groups[shell.identity.group_count++], "shop");
    pause(5, LAB);
    assert_int_equal(acted, 0);
    assert_true(is_in("shop"));

    groups(6, "\"all\",\"lab\"");
    assert_int_equal(acted, 1); /* the core answers it */
    assert_int_equal(heard_groups, 1);
    assert_true(is_in("lab") && !is_in("shop"));
    acted = 0;
    pause(7, LAB);
    assert_int_equal(acted, 1);
    pause(8, "{\"group\":\"shop\"}");
    assert_int_equal(acted, 1);
    assert_int_equal(alarms, 0);
}

static void a_statement_that_is_replayed_changes_nothing(void **state)
{
    (void)state;
    groups(6, "\"all\",\"lab\"");
    groups(9, "\"all\"");
    assert_false(is_in("lab"));

    groups(6, "\"all\",\"lab\""); /* as a broker kept it */
    assert_true(was_told("superseded"));
    assert_false(is_in("lab"));
    pause(10, LAB);
    assert_int_equal(acted, 2); /* of both statements alone */

    groups(9, "\"all\",\"lab\""); /* another text with the same number */
    assert_true(was_told("cmd.nonce_reused"));
    assert_int_equal(alarms, 1);
    assert_false(is_in("lab"));
}

static void a_statement_that_is_forged_changes_nothing(void **state)
{
    (void)state;
    struct flo_key *stranger;
    struct flo_err err = {0};

    assert_int_equal(flo_key_generate(&stranger, &err), 0);
    signer = stranger;
    groups(6, "\"all\",\"lab\"");
    signer = NULL;
    assert_int_equal(alarms, 1);
    assert_false(is_in("lab"));

    scope = OTHER; /* well signed, about another device */
    order(7, begun_ms, "groups", "\"groups\":[\"all\",\"lab\"]");
    assert_false(is_in("lab"));
    assert_int_equal(acted, 0);
    flo_key_free(stranger);
}

static void an_emergency_key_puts_no_device_into_a_group(void **state)
{
    (void)state;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    flo_public_key_pem(flo_key_public(emergency_key), pem);
    assert_int_equal(flo_trust_add(shell.identity.trust, pem, FLO_ROLE_EMERGENCY, NULL, NULL), 0);
    scope = THIS;
    emergency(begun_ms, "groups", "\"groups\":[\"all\",\"lab\"]");
    assert_false(is_in("lab"));
}

static int parse(const char *of, const char *list)
{
    struct flo_order parsed;
    char body[512];

    snprintf(body, sizeof(body),
             "{\"v\":1,\"fleet\":\"demo\",\"id\":\"o-1\",\"op\":\"groups\","
             "\"scope\":%s,\"epoch\":1,\"seq\":1,\"issued_at_ms\":1,"
             "\"expires_at_ms\":2,\"args\":{\"groups\":[%s]}}",
             of, list);
    return flo_order_parse(body, strlen(body), NULL, &parsed, NULL);
}

/* With a group's scope it would put all of them into the list's groups. */
static void a_statement_is_about_one_device_and_names_groups(void **state)
{
    (void)state;
    assert_int_equal(parse(THIS, "\"all\""), 0);
    assert_int_equal(parse(LAB, "\"all\""), FLO_E_CMD_FORMAT);
    assert_int_equal(parse(THIS, ""), FLO_E_CMD_FORMAT);
    assert_int_equal(parse(THIS, "\"Lab\""), FLO_E_CMD_FORMAT);
    assert_int_equal(parse(THIS, "7"), FLO_E_CMD_FORMAT);
    assert_int_equal(parse(THIS, "\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\","
                                 "\"j\",\"k\",\"l\",\"m\",\"n\",\"o\",\"p\",\"q\""),
                     FLO_E_CMD_FORMAT);
}

static void groups_outlive_a_restart_and_no_other_identity(void **state)
{
    (void)state;
    struct flo_device device;
    struct flo_err err = {0};
    struct flo_trust_facts facts;

    flo_trust_facts(shell.identity.trust, DEVICE_ID, &facts);
    assert_int_equal(flo_device_trust(&shell.device, &facts), FLO_TRUST_TAKEN);
    shell.device.epoch = 1;
    groups(6, "\"all\",\"lab\"");
    assert_int_equal(flo_store_device_read(shell.store, &device, &err), 0);
    assert_int_equal(device.group_count, 2);
    assert_string_equal(device.groups[1], "lab");
    assert_int_equal(device.stated_groups.number, 6);

    flo_trust_facts(shell.identity.trust, "22222222-2222-4222-8222-222222222222", &facts);
    assert_int_equal(flo_device_trust(&device, &facts), FLO_TRUST_TAKEN);
    assert_int_equal(device.group_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_statement_replaces_the_groups_of_the_enrolment, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_statement_that_is_replayed_changes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(a_statement_that_is_forged_changes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(an_emergency_key_puts_no_device_into_a_group, begin, end),
        cmocka_unit_test(a_statement_is_about_one_device_and_names_groups),
        cmocka_unit_test_setup_teardown(groups_outlive_a_restart_and_no_other_identity, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
