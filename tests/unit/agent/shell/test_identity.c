/* identity.json, whoever wrote it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/errors/meta.h>
#include <flotilla/errors/net.h>
#include <flotilla/errors/trust.h>

#include "agent/shell/device/device.h"
#include "agent/shell/identity/enrol_answer.h"
#include "agent/shell/identity/identity.h"
#include "unit/remove_tree.h"

#define DEVICE "0e2a4c1c-55d4-4d6e-9d0b-2f6f8c2f9a11"

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/flo-identity-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return remove_tree(dir);
}

static void write_file(const char *name, const char *text)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(flo_file_write(path, text, strlen(text), 0600, NULL), 0);
}

/* With the addresses of the enrolment and of the configuration ("": none). */
static int load(const char *controller, const char *broker, const char *config,
                struct flo_identity *out, struct flo_err *err)
{
    struct flo_settings settings;
    char path[128], text[1024];

    snprintf(path, sizeof(path), "%s/identity", dir);
    assert_int_equal(flo_dir_make(path, 0700, NULL), 0);
    snprintf(text, sizeof(text),
             "{\"v\":1,\"device\":\"" DEVICE "\",\"fleet\":\"test\","
             "\"name\":\"gw-1\",\"controller\":\"%s\",\"mqtt\":\"%s\","
             "\"groups\":[],\"enrolled_at_ms\":1}",
             controller, broker);
    write_file("identity/identity.json", text);
    snprintf(text, sizeof(text), "state_dir: %s\n%s", dir, config);
    write_file("agent.yaml", text);
    snprintf(path, sizeof(path), "%s/agent.yaml", dir);
    assert_int_equal(flo_settings_load(path, NULL, &settings, NULL), 0);
    int rv = flo_identity_load(&settings, out, err);
    flo_settings_deinit(&settings);
    return rv;
}

/* Behind the addresses, only the pair of keys is missing. */
static void an_address_without_tls_is_this_machines_or_none(void **state)
{
    static const struct {
        const char *controller, *broker, *config;
        int code;
    } rows[] = {
        {"https://a.example:8443", "mqtts://a.example:8883", "", FLO_E_ABSENT},
        {"http://127.0.0.1:1", "mqtt://127.0.0.1:2", "", FLO_E_ABSENT},
        {"http://a.example:8443", "mqtts://a.example:8883", "", FLO_E_CFG_RANGE},
        {"https://a.example:8443", "mqtt://a.example:1883", "", FLO_E_CFG_RANGE},
        {"", "mqtts://a.example:8883", "", FLO_E_CFG_RANGE},
        {"http://a.example:8443", "mqtts://a.example:8883", "controller: https://b.example:8443\n",
         FLO_E_ABSENT},
    };
    struct flo_identity identity;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_err err = {0};
        assert_int_equal(load(rows[i].controller, rows[i].broker, rows[i].config, &identity, &err),
                         rows[i].code);
        assert_false(identity.is_there);
        flo_identity_deinit(&identity);
    }
}

static void the_error_names_the_file_and_the_address(void **state)
{
    struct flo_identity identity;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(load("http://a.example:8443", "mqtts://a.example:8883", "", &identity, &err),
                     FLO_E_CFG_RANGE);
    assert_non_null(strstr(err.what, "identity.json"));
    assert_non_null(strstr(err.what, "controller"));
    assert_non_null(strstr(err.what, "http://a.example:8443"));
    flo_identity_deinit(&identity);
}

/* The same answers as the fuzzer begins with. */
static void an_answer_is_about_one_device_and_one_fleet_with_a_root(void **state)
{
    static const struct {
        const char *name;
        int code;
    } rows[] = {{"good", 0},
                {"good_two_authorities", 0},
                {"other_device", FLO_E_NET_TLS},
                {"other_fleet", FLO_E_META_FLEET},
                {"unsigned", FLO_E_TRUST_NONE}};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
        struct flo_enrol_answer answer;
        char path[128];
        size_t bytes;
        snprintf(path, sizeof(path), "tests/fuzz/corpora/enrol_answer/%s", rows[i].name);
        assert_int_equal(flo_file_read(path, 65536, &text, &bytes, NULL), 0);
        int rv = flo_enrol_answer_read(text, bytes, &answer, NULL);
        if (rv != rows[i].code) {
            fail_msg("%s: %s", rows[i].name, flo_error_id(rv));
        }
        if (rv == 0) {
            flo_enrol_answer_deinit(&answer);
        }
    }
}

/* The link's text; "": there is none. */
static const char *link_text(const struct flo_identity_pairs *pairs)
{
    static char text[64];
    ssize_t chars = readlink(pairs->link, text, sizeof(text) - 1);

    text[chars < 0 ? 0 : chars] = '\0';
    return text;
}

static void the_link_names_the_pair_in_use(void **state)
{
    struct flo_identity_pairs pairs;
    char path[128], left[4300];

    (void)state;
    snprintf(path, sizeof(path), "%s/identity", dir);
    assert_int_equal(flo_dir_make(path, 0700, NULL), 0);
    assert_int_equal(flo_pairs_name(dir, &pairs, NULL), 0);
    snprintf(left, sizeof(left), "%s+new", pairs.link);
    assert_int_equal(symlink("of an agent that was killed", left), 0);
    for (size_t i = 0; i < 4; i++) { /* twice the same, too */
        assert_int_equal(flo_pairs_link(&pairs, i / 2, NULL), 0);
        assert_string_equal(link_text(&pairs), i / 2 == 0 ? "device-a.pem" : "device-b.pem");
    }
    assert_int_equal(access(left, F_OK), -1);
    remove_tree(path);
    assert_int_equal(flo_pairs_link(&pairs, 0, NULL), FLO_E_IO_WRITE);
    assert_string_equal(link_text(&pairs), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_about_one_device_and_one_fleet_with_a_root),
        cmocka_unit_test_setup_teardown(an_address_without_tls_is_this_machines_or_none, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_link_names_the_pair_in_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_error_names_the_file_and_the_address, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
