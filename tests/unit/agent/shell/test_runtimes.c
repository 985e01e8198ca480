/* Files of runtimes.d: who may write them, what is wrong in them, what the
 * proxy gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/errors/runtime.h>

#include "agent/shell/device/hook.h"
#include "agent/shell/device/runtimes.h"
#include "unit/remove_tree.h"

#define GOOD                                                                                       \
    "exec: [/bin/true, --model, '{entry}', --uds, '{socket}']\n"                                   \
    "memory: 64MiB\nready: 3s\nsessions: 4\nabilities: [vectors, cancel]\n"                        \
    "env: {A: b}\n"

#define LINKED "api: none\nmemory: 64MiB\ncheck: [/bin/cat, '{file}']\n"

static char dir[64];
static struct flo_settings settings;
static struct flo_device_runtime runtime;
static struct flo_err err;

static int set_up(void **state)
{
    static const struct flo_config_row rows[] = {
        {"runtimes_dir", FLO_CONFIG_TEXT, 0, 0, NULL, false, NULL, ""}};
    char text[100];

    (void)state;
    strcpy(dir, "/tmp/flo-runtimes-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(text, sizeof(text), "runtimes_dir: %s\n", dir);
    return flo_config_parse(text, strlen(text), "test", rows, 1, &settings.config, &err);
}

static int tear_down(void **state)
{
    (void)state;
    flo_config_free(settings.config);
    return remove_tree(dir);
}

static char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s.yaml", dir, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    assert_int_equal(flo_file_write(path_of(name), text, strlen(text), 0644, &err), 0);
    assert_int_equal(chmod(path_of(name), 0644), 0);
}

static int read_file(const char *name)
{
    memset(&err, 0, sizeof(err));
    return flo_runtimes_read(&settings, name, &runtime, &err);
}

/* Only root's files are read at all. */
static bool is_root(void)
{
    if (geteuid() != 0) {
        write_file("mine", GOOD);
        assert_int_equal(read_file("mine"), FLO_E_CFG_PERM);
        return false;
    }
    return true;
}

static void a_whole_file_becomes_the_proxys_settings(void **state)
{
    (void)state;
    if (!is_root()) {
        return;
    }
    write_file("fake", GOOD);
    if (read_file("fake") < 0) {
        fail_msg("%s", err.what);
    }
    assert_string_equal(runtime.name, "fake");
    assert_int_equal(runtime.memory_bytes, 64 << 20);
    assert_int_equal(runtime.ready_ms, 3000);
    assert_int_equal(runtime.sessions, 4);
    json_t *json = json_loads(runtime.json, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "abilities")), 1 << 7 | 1 << 11);
    assert_string_equal(json_string_value(json_array_get(json_object_get(json, "exec"), 4)),
                        "{socket}");
    json_decref(json);
    flo_runtimes_deinit(&runtime);
}

/* The memory that the proxy is told, and the plan's. */
static uint64_t planned(const char *keys, uint64_t file_bytes, uint64_t told_bytes)
{
    static struct flo_release release; /* large */
    struct flo_release_variant *variant = &release.variants[0];

    release.files[1].bytes = file_bytes;
    release.files[2].bytes = 7; /* of another variant */
    variant->file_count = 1;
    variant->files[0] = 1;
    variant->memory_bytes = told_bytes;
    write_file("fake", keys);
    assert_int_equal(read_file("fake"), 0);
    assert_int_equal(flo_runtimes_plan(&runtime, &release, variant, &err), 0);
    json_t *json = json_loads(runtime.json, 0, NULL);
    uint64_t bytes = (uint64_t)json_integer_value(json_object_get(json, "memory_bytes"));
    assert_int_equal(bytes, runtime.memory_bytes);
    json_decref(json);
    flo_runtimes_deinit(&runtime);
    return bytes;
}

static void a_models_files_are_planned_next_to_the_program(void **state)
{
    (void)state;
    if (!is_root()) {
        return;
    }
    assert_int_equal(planned(GOOD, 100 << 20, 500 << 20), 64 << 20);
    assert_int_equal(planned(GOOD "memory_files: 110\n", 100 << 20, 0), 174 << 20);
    assert_int_equal(planned(GOOD "memory_files: 110\n", 100 << 20, 300 << 20), 364 << 20);
    assert_int_equal(planned(GOOD "memory_files: 1000\n", UINT64_MAX, 0),
                     (UINT64_C(1) << 48) + (64 << 20));
    assert_int_equal(planned(GOOD "memory_files: 1\n", 1, UINT64_MAX),
                     (UINT64_C(1) << 48) + (64 << 20));
}

static void a_file_that_others_may_write_is_refused(void **state)
{
    (void)state;
    if (!is_root()) {
        return;
    }
    write_file("fake", GOOD);
    chmod(path_of("fake"), 0664);
    assert_int_equal(read_file("fake"), FLO_E_CFG_PERM);
    assert_non_null(strstr(err.what, "0664"));
    chmod(path_of("fake"), 0644);
    assert_int_equal(chown(path_of("fake"), 65534, 0), 0);
    assert_int_equal(read_file("fake"), FLO_E_CFG_PERM);
    assert_int_equal(chown(path_of("fake"), 0, 0), 0);
    chmod(dir, 0777);
    assert_int_equal(read_file("fake"), FLO_E_CFG_PERM);
    chmod(dir, 0700);
    assert_int_equal(unlink(path_of("fake")), 0);
    assert_int_equal(symlink("/etc/hostname", path_of("fake")), 0);
    assert_int_equal(read_file("fake"), FLO_E_CFG_PERM);
}

static void a_name_without_a_file_is_absent(void **state)
{
    (void)state;
    assert_int_equal(read_file("none"), FLO_E_RUNTIME_ABSENT);
    assert_int_equal(read_file("../none"), FLO_E_RUNTIME_ABSENT);
    assert_int_equal(read_file("a-name-that-is-longer-than-31-characters"), FLO_E_RUNTIME_ABSENT);
}

static void a_faulty_file_names_its_fault(void **state)
{
    static const struct {
        const char *text;
        int error;
        const char *word;
    } rows[] = {
        {"memory: 1GiB\n", FLO_E_CFG_RANGE, "absolute path"},
        {"exec: [x, '{socket}']\nmemory: 1GiB\n", FLO_E_CFG_RANGE, "absolute path"},
        {"exec: [/bin/true]\nmemory: 1GiB\n", FLO_E_CFG_RANGE, "{socket}"},
        {"exec: [/bin/true, '{port}']\n", FLO_E_CFG_KEY, "memory"},
        {GOOD "api: grpc\n", FLO_E_CFG_RANGE, "grpc"},
        {GOOD "network: all\n", FLO_E_CFG_RANGE, "all"},
        {GOOD "usre: npu\n", FLO_E_CFG_KEY, "usre"},
        {GOOD "user: nobody-of-flotilla\n", FLO_E_CFG_RANGE, "no user"},
        {GOOD "user: root\n", FLO_E_CFG_RANGE, "root is root"},
        {"exec: [/bin/true, '{port}']\nmemory: 1GiB\nabilities: [fly]\n", FLO_E_CFG_RANGE, "fly"},
        {"exec: [/bin/true, '{port}']\nmemory: 1GiB\nenv: {A: 7}\n", FLO_E_CFG_TYPE, "env"},
        {"exec: 7\n", FLO_E_CFG_TYPE, "exec"},
        {GOOD "activate: [/bin/true]\n", FLO_E_CFG_KEY, "activate"},
        {"api: none\nmemory: 1GiB\n", FLO_E_CFG_RANGE, "check"},
        {LINKED "exec: [/bin/true]\n", FLO_E_CFG_KEY, "exec"},
        {LINKED "sessions: 2\n", FLO_E_CFG_KEY, "sessions"},
        {LINKED "activate: [reload]\n", FLO_E_CFG_RANGE, "absolute path"},
        {LINKED "signal: HUP\n", FLO_E_CFG_RANGE, "pid_file"},
        {LINKED "signal: KILL\npid_file: /run/a.pid\n", FLO_E_CFG_RANGE, "HUP"},
        {LINKED "restart: a.service\nactivate: [/bin/true]\n", FLO_E_CFG_RANGE, "one of them"},
        {LINKED "soak_health: 'http://camera/health'\n", FLO_E_CFG_RANGE, "soak_health"},
        {LINKED "soak_health: 'http://[::1]:80/a'\nsoak_command: [/bin/true]\n", FLO_E_CFG_RANGE,
         "one of them"},
        {LINKED "soak_status: 7\n", FLO_E_CFG_RANGE, "soak_status"},
    };
    (void)state;
    if (!is_root()) {
        return;
    }
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        write_file("fake", rows[i].text);
        int rv = read_file("fake");
        if (rv != rows[i].error || strstr(err.what, rows[i].word) == NULL) {
            fail_msg("%s gave %s %s", rows[i].text, flo_error_id(rv), err.what);
        }
        assert_null(runtime.config); /* nothing is left to be freed */
    }
}

static void a_program_without_requests_has_a_check_and_a_hook(void **state)
{
    (void)state;
    if (!is_root()) {
        return;
    }
    write_file("gate", LINKED "restart: gate.service\n"
                              "soak_health: 'http://127.0.0.1:8080/health'\n");
    if (read_file("gate") < 0) {
        fail_msg("%s", err.what);
    }
    assert_true(runtime.is_linked);
    assert_string_equal(flo_config_text(runtime.config, "restart"), "gate.service");
    json_t *json = json_loads(runtime.json, 0, NULL);
    assert_string_equal(json_string_value(json_array_get(json_object_get(json, "exec"), 0)),
                        "/bin/cat");
    json_decref(json);
    flo_runtimes_deinit(&runtime);
}

static void an_address_of_health_is_a_number_and_a_port(void **state)
{
    static const char *const bad[] = {
        "https://127.0.0.1:1/",    "http://127.0.0.1/",    "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/", "http://a.example:80/", "http://:80/",
        "http://127.0.0.1:80x",    "http://127.0.0.1:+8/", "http://[::1:80/",
        "http://127.0.0.1:80/a b", "127.0.0.1:80",         ""};
    struct flo_health_address address;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        if (flo_health_address_read(bad[i], &address)) {
            fail_msg("%s is taken", bad[i]);
        }
    }
    assert_true(flo_health_address_read("http://localhost:80", &address));
    assert_string_equal(address.host, "127.0.0.1");
    assert_string_equal(address.path, "/");
    assert_true(flo_health_address_read("http://[::1]:8080/a?b=1", &address));
    assert_string_equal(address.host, "::1");
    assert_int_equal(address.port, 8080);
    assert_string_equal(address.path, "/a?b=1");
}

static void the_profile_lists_what_can_be_started(void **state)
{
    (void)state;
    if (!is_root()) {
        return;
    }
    write_file("b-gone", "exec: [/nowhere/x, '{port}']\nmemory: 1MiB\n");
    write_file("a-good", GOOD);
    write_file("c-bad", "exec: 7\n");
    json_t *list = flo_runtimes_json(&settings);
    static const char *const states[] = {"ready", "absent", "failed"};
    assert_int_equal(json_array_size(list), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(json_string_value(json_object_get(json_array_get(list, i), "state")),
                            states[i]);
    }
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_whole_file_becomes_the_proxys_settings, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_models_files_are_planned_next_to_the_program, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_others_may_write_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_without_a_file_is_absent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_faulty_file_names_its_fault, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_program_without_requests_has_a_check_and_a_hook, set_up,
                                        tear_down),
        cmocka_unit_test(an_address_of_health_is_a_number_and_a_port),
        cmocka_unit_test_setup_teardown(the_profile_lists_what_can_be_started, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
