/* Our broker: who may write and read which topic, and whom it lets in at all.
 */
#include <sys/resource.h>
#include <unistd.h>

#include "server-stub/mqtt/broker/process.h"
#include "server-stub/state/devices/devices.h"
#include "tests/unit/server/world.h"

static void has(const struct flo_buf *text, const char *line)
{
    if (strstr(text->data, line) == NULL) {
        fail_msg("`%s` is not in\n%s", line, text->data);
    }
}

static void a_device_writes_and_reads_what_is_its_own(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    assert_int_equal(flo_broker_acl_text(world->controller, &text, &world->err), 0);
    for (int i = 0; i < FLO_TOPIC_COUNT; i++) {
        const struct flo_topic_fact *fact = flo_topic_fact((enum flo_topic)i);
        bool is_devices = strncmp(fact->path, "d/{d}/", 6) == 0;
        char line[160];
        /* mosquitto puts the name of the certificate in the place of %u. */
        snprintf(line, sizeof(line), "pattern %s flotilla/v1/demo/d/%%u/%s\n",
                 fact->is_device_writing ? "write" : "read", fact->path + 6);
        if (is_devices) {
            has(&text, line);
        }
        assert_true(is_devices || !fact->is_device_writing);
    }
    assert_null(strstr(text.data, "pattern write flotilla/v1/demo/d/+"));
    assert_null(strstr(text.data, "pattern readwrite"));
    assert_null(strstr(text.data, "#\npattern"));
}

static void a_retired_device_has_no_topic(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char line[96];

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_devices_retire(world->controller, ids[0], &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(flo_broker_acl_text(world->controller, &text, &world->err), 0);
    snprintf(line, sizeof(line), "user %s\ntopic deny #\n", ids[0]);
    has(&text, line);
    assert_null(strstr(text.data, ids[1]));
}

static void only_certificates_of_ours_that_are_not_taken_back_come_in(void **state)
{
    const struct flo_broker_places places = {"capath /authorities", "/cert", "/key", "/revoked",
                                             "acl_file /a"};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    (void)state;

    flo_broker_config_text(&text, 8883, "127.0.0.1", &places);
    has(&text, "\nrequire_certificate true\n");
    has(&text, "\nciphers ECDHE+AESGCM:ECDHE+CHACHA20\n");
    has(&text, "\nuse_identity_as_username true\n");
    has(&text, "\nuse_username_as_clientid true\n"); /* it ends nobody's session */
    has(&text, "\nallow_anonymous false\n");
    has(&text, "\ncrlfile /revoked\n");
    has(&text, "\ncapath /authorities\n");
    has(&text, "\nacl_file /a\n");
    has(&text, "\nmax_qos 1\n");
    has(&text, "\nmax_topic_alias 0\n");
    has(&text, "\nmax_queued_bytes 1048576\n");
    has(&text, "\nmax_packet_size 65536\n");
}

static void connections_and_memory_have_limits(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    unsigned long long bytes = 0;
    unsigned connections = 0;
    (void)state;

    flo_broker_limit_lines(1000, &text);
    assert_int_equal(
        sscanf(text.data, "memory_limit %llu\nmax_connections %u\n", &bytes, &connections), 2);
    assert_true(bytes > 0 && bytes <= SIZE_MAX / 2);
    assert_int_equal(connections, 1048); /* with controllers, and those without CONNECT */
}

static void an_account_has_the_topics_of_its_device_alone(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    (void)state;

    flo_broker_account_text("demo", ids[0], &text);
    json_t *json = json_loads(text.data, 0, NULL);
    const json_t *role = json_array_get(json_object_get(json, "commands"), 0);
    const json_t *acls = json_object_get(role, "acls");
    size_t i;
    json_t *one;
    size_t writes = 0;
    assert_true(json_array_size(acls) > 0);
    json_array_foreach(acls, i, one)
    {
        const char *type = json_string_value(json_object_get(one, "acltype"));
        const char *topic = json_string_value(json_object_get(one, "topic"));
        bool is_write = strcmp(type, "publishClientSend") == 0;
        assert_true(is_write || strcmp(type, "subscribePattern") == 0);
        writes += is_write;
        assert_true(!is_write || strstr(topic, ids[0]) != NULL);
        assert_true(strncmp(topic, "flotilla/v1/demo/d/", 19) != 0 ||
                    strstr(topic, ids[0]) != NULL);
    }
    assert_true(writes > 0);
    json_decref(json);
}

/* Only waitpid and ESRCH say death. */
static void who_cannot_look_does_not_take_a_process_for_dead(void **state)
{
    struct rlimit before, none;
    uint64_t started;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool knows = flo_broker_started(getpid(), &started);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(knows);
    assert_true(flo_broker_started(getpid(), &started));
    assert_true(started > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_cannot_look_does_not_take_a_process_for_dead),
        WITH_WORLD(a_device_writes_and_reads_what_is_its_own),
        WITH_WORLD(a_retired_device_has_no_topic),
        cmocka_unit_test(only_certificates_of_ours_that_are_not_taken_back_come_in),
        cmocka_unit_test(connections_and_memory_have_limits),
        cmocka_unit_test(an_account_has_the_topics_of_its_device_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
