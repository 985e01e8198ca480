/* Settings that pass --check-config are taken by the agent's parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/engine.h>
#include <flotilla/errors/cfg.h>

#include "agent/shell/device/device.h"
#include "unit/remove_tree.h"

static int set_up(void **state)
{
    static char dir[64];

    snprintf(dir, sizeof(dir), "/tmp/flo-settings-XXXXXX");
    *state = mkdtemp(dir);
    return *state == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    return remove_tree(*state);
}

static int load(const char *dir, const char *key, uint64_t value, const char *unit)
{
    struct flo_settings settings;
    struct flo_err err = {0};
    char path[128];
    char text[128];

    snprintf(path, sizeof(path), "%s/agent.yaml", dir);
    snprintf(text, sizeof(text), "state_dir: %s\n%s: %llu%s\n", dir, key, (unsigned long long)value,
             unit);
    assert_int_equal(flo_file_write(path, text, strlen(text), 0600, NULL), 0);
    int rv = flo_settings_load(path, NULL, &settings, &err);
    if (rv == 0) {
        flo_settings_deinit(&settings);
    }
    return rv;
}

static void as_many_threads_as_an_engine_takes(void **state)
{
    assert_int_equal(load(*state, "threads", FLO_ENGINE_THREADS_MAX, ""), 0);
    assert_int_equal(load(*state, "threads", FLO_ENGINE_THREADS_MAX + 1, ""), FLO_E_CFG_RANGE);
}

static void every_report_interval_that_the_controller_may_ask_for(void **state)
{
    const char *dir = *state;

    assert_int_equal(load(dir, "heartbeat", FLO_HEARTBEAT_MS_MIN - 1, "ms"), FLO_E_CFG_RANGE);
    assert_int_equal(load(dir, "heartbeat", FLO_HEARTBEAT_MS_MIN, "ms"), 0);
    assert_int_equal(load(dir, "heartbeat", FLO_HEARTBEAT_MS_MAX, "ms"), 0);
    assert_int_equal(load(dir, "heartbeat", FLO_HEARTBEAT_MS_MAX + 1, "ms"), FLO_E_CFG_RANGE);
}

static int keeps_batches(const char *dir, const char *folder)
{
    struct flo_settings settings;
    struct flo_err err = {0};
    char path[128], text[256];

    snprintf(path, sizeof(path), "%s/agent.yaml", dir);
    snprintf(text, sizeof(text), "state_dir: %s\nbatch_folder: %s\n", dir, folder);
    assert_int_equal(flo_file_write(path, text, strlen(text), 0600, NULL), 0);
    int rv = flo_settings_load(path, NULL, &settings, &err);
    if (rv == 0) {
        flo_settings_deinit(&settings);
    }
    return rv;
}

static void a_folder_of_batches_by_its_absolute_path(void **state)
{
    assert_int_equal(keeps_batches(*state, "/var/lib/flotilla/batches"), 0);
    assert_int_equal(keeps_batches(*state, "batches"), FLO_E_CFG_RANGE);
}

static int listens(const char *dir, const char *lines, bool has_token, char *what,
                   size_t what_bytes)
{
    static const char secret[] = "0123456789abcdef";
    struct flo_settings settings;
    struct flo_err err = {0};
    char path[128];
    char text[512];

    snprintf(path, sizeof(path), "%s/token", dir);
    assert_int_equal(flo_file_write(path, secret, 16, 0600, NULL), 0);
    snprintf(text, sizeof(text), "state_dir: %s\n%s\n%s%s\n", dir, lines,
             has_token ? "token_file: " : "", has_token ? path : "");
    snprintf(path, sizeof(path), "%s/agent.yaml", dir);
    assert_int_equal(flo_file_write(path, text, strlen(text), 0600, NULL), 0);
    int rv = flo_settings_load(path, NULL, &settings, &err);
    snprintf(what, what_bytes, "%s", err.what);
    for (size_t i = 0; rv == 0 && settings.listen[i] != NULL; i++) {
        snprintf(what, what_bytes, "%s", settings.listen[i]); /* the last */
    }
    if (rv == 0) {
        flo_settings_deinit(&settings);
    }
    return rv;
}

static int listens_at(const char *dir, const char *address, bool has_token, char *what,
                      size_t what_bytes)
{
    char line[256];

    snprintf(line, sizeof(line), "listen: [\"%s\"]", address);
    return listens(dir, line, has_token, what, what_bytes);
}

static void the_address_of_ollama_is_one_more(void **state)
{
#define EIGHT "listen: [unix:/1,unix:/2,unix:/3,unix:/4,unix:/5,unix:/6,unix:/7"
    static const struct {
        const char *lines;
        bool has_token;
        int rv;
        const char *what;
    } cases[] = {
        {"ollama_listen: true", true, 0, "127.0.0.1:11434"},
        {EIGHT "]\nollama_listen: true", true, 0, "127.0.0.1:11434"},
        {EIGHT ",unix:/8]", false, 0, "unix:/8"},
        {EIGHT ",unix:/8]\nollama_listen: true", true, FLO_E_CFG_RANGE,
         "ollama_listen: 8 addresses are in listen, at most 7 next to it"},
        {"ollama_listen: true", false, FLO_E_CFG_KEY, "listen: 127.0.0.1:11434 needs a token"},
        {"ollama_listen: true\nollama: false", true, FLO_E_CFG_KEY,
         "ollama_listen: true contradicts ollama: false"},
    };
    char what[512];

    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        assert_int_equal(listens(*state, cases[i].lines, cases[i].has_token, what, sizeof(what)),
                         cases[i].rv);
        assert_non_null(strstr(what, cases[i].what));
    }
}

static void an_address_that_nobody_can_listen_at_is_told_by_the_check(void **state)
{
    static const char *const bad[] = {
        "127.0.0.1:99999", "127.0.0.1:x",  "127.0.0.1:",        ":8081",
        "localhost",       "127.0.0.1:-1", "127.0.0.1:00000080"};
    char what[512];

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_int_equal(listens_at(*state, bad[i], true, what, sizeof(what)), FLO_E_CFG_RANGE);
        assert_non_null(strstr(what, bad[i]));
    }
    assert_int_equal(listens_at(*state, "127.0.0.1:8081", true, what, sizeof(what)), 0);
    assert_int_equal(listens_at(*state, "unix:/run/x", false, what, sizeof(what)), 0);
}

static void a_port_without_a_token_is_told_by_the_check(void **state)
{
    char what[512];

    assert_int_equal(listens_at(*state, "127.0.0.1:8081", false, what, sizeof(what)),
                     FLO_E_CFG_KEY);
    assert_non_null(strstr(what, "127.0.0.1:8081 needs a token"));
}

static void a_mirror_is_an_address_that_a_download_can_ask(void **state)
{
    char what[512];

    assert_int_equal(listens(*state, "mirrors: [\"https://a:1\", \"http://127.0.0.1:2\"]", false,
                             what, sizeof(what)),
                     0);
    assert_true(listens(*state, "mirrors: [\"https://a:1\", \"http://b:2\"]", false, what,
                        sizeof(what)) < 0);
    assert_non_null(strstr(what, "mirrors: "));
    assert_int_equal(
        listens(*state, "mirrors: [a, b, c, d, e, f, g, h]", false, what, sizeof(what)),
        FLO_E_CFG_RANGE);
}

/* ---- models ---- */

static int load_text(const char *dir, const char *text, struct flo_settings *settings,
                     struct flo_err *err)
{
    char path[128];
    char all[1024];

    snprintf(path, sizeof(path), "%s/shop.token", dir);
    assert_int_equal(flo_file_write(path, "a-secret-of-the-shop\n", 21, 0600, NULL), 0);
    snprintf(all, sizeof(all), "state_dir: %s\ntokens: {shop: %s}\n%s", dir, path, text);
    snprintf(path, sizeof(path), "%s/agent.yaml", dir);
    assert_int_equal(flo_file_write(path, all, strlen(all), 0600, NULL), 0);
    return flo_settings_load(path, NULL, settings, err);
}

static void refuses(const char *dir, const char *text, int code, const char *what)
{
    struct flo_settings settings;
    struct flo_err err = {0};

    assert_int_equal(load_text(dir, text, &settings, &err), code);
    assert_non_null(strstr(err.what, what));
}

static void a_model_has_other_names_and_tokens_of_its_own(void **state)
{
    const struct flo_model_spec *spec;
    struct flo_settings settings;
    struct flo_err err = {0};

    assert_int_equal(load_text(*state,
                               "models: {helpdesk: {alias: [gpt-4o-mini, "
                               "help], tokens: [shop]}, alarm: {}}\n",
                               &settings, &err),
                     0);
    spec = flo_spec_of(&settings, "helpdesk");
    assert_int_equal(spec->n_aliases, 2);
    assert_string_equal(spec->aliases[0], "gpt-4o-mini");
    assert_int_equal(spec->n_tokens, 1);
    assert_string_equal(spec->tokens[0], "shop");
    assert_string_equal(settings.rules.tokens[0].secret, "a-secret-of-the-shop");
    assert_int_equal(flo_spec_of(&settings, "alarm")->n_aliases, 0);
    assert_null(flo_spec_of(&settings, "other"));
    flo_settings_deinit(&settings);
}

static void words_about_models_that_nobody_understands_are_refused(void **state)
{
    refuses(*state, "models: {help: {aliases: [a]}}\n", FLO_E_CFG_KEY, "unknown key `aliases`");
    refuses(*state, "models: {help: {alias: gpt}}\n", FLO_E_CFG_TYPE, "models.help.alias");
    refuses(*state, "models: {help: {alias: [\"a b\"]}}\n", FLO_E_CFG_TYPE, "element 1 is no name");
    refuses(*state, "models: {help: [a]}\n", FLO_E_CFG_TYPE, "models.help");
    refuses(*state, "models: {help: {tokens: [till]}}\n", FLO_E_CFG_RANGE,
            "`till` is not in `tokens`");
}

static void a_name_of_two_models_is_refused(void **state)
{
    /* Whatever stands behind the name that is taken. */
    refuses(*state, "models: {a: {alias: [x, y]}, b: {alias: [z, x]}}\n", FLO_E_CFG_RANGE,
            "`x` is a name of ");
    refuses(*state, "models: {a: {alias: [q, r]}, b: {alias: [a]}}\n", FLO_E_CFG_RANGE,
            "models.b.alias: `a` is a name of a already");
    refuses(*state, "models: {a: {alias: [x]}, b: {alias: [x]}}\n", FLO_E_CFG_RANGE,
            "`x` is a name of");
    refuses(*state, "models: {a: {alias: [b]}, b: {}}\n", FLO_E_CFG_RANGE, "`b` is a name of b");
    refuses(*state, "models: {a: {alias: [x, x]}}\n", FLO_E_CFG_RANGE, "`x` is a name of a");
}

/* `shop` is an app without limits, `kiosk` one with these keys. */
static int load_app(const char *dir, const char *keys, struct flo_settings *settings,
                    struct flo_err *err)
{
    char path[128], text[1024];

    snprintf(path, sizeof(path), "%s/token", dir);
    assert_int_equal(flo_file_write(path, "a-secret-of-the-kiosk\n", 22, 0600, NULL), 0);
    snprintf(text, sizeof(text), "state_dir: %s\ntokens: {shop: %s, kiosk: {%s%s%s}}\n", dir, path,
             keys[0] == '!' ? "" : "file: ", keys[0] == '!' ? "" : path,
             keys[0] == '!' ? keys + 1 : keys);
    snprintf(path, sizeof(path), "%s/agent.yaml", dir);
    assert_int_equal(flo_file_write(path, text, strlen(text), 0600, NULL), 0);
    return flo_settings_load(path, NULL, settings, err);
}

static void an_app_has_limits_in_place_of_its_file_alone(void **state)
{
    const struct flo_serve_bounds *bounds;
    struct flo_settings settings;
    struct flo_err err = {0};

    assert_int_equal(load_app(*state,
                              ", models: [helpdesk, tiny], requests_per_minute: 60, "
                              "requests_per_day: 1000, tokens_per_minute: 5000, "
                              "tokens_per_day: 200000, priority: batch, "
                              "prompt_tokens_max: 900, answer_tokens_max: 64",
                              &settings, &err),
                     0);
    assert_int_equal(settings.rules.n_tokens, 2);
    assert_int_equal(settings.rules.tokens[0].bounds.n_models, 0);
    assert_false(settings.rules.tokens[0].bounds.is_batch);
    assert_string_equal(settings.rules.tokens[1].name, "kiosk");
    assert_string_equal(settings.rules.tokens[1].secret, "a-secret-of-the-kiosk");
    bounds = &settings.rules.tokens[1].bounds;
    assert_int_equal(bounds->n_models, 2);
    assert_string_equal(bounds->models[1], "tiny");
    assert_int_equal(bounds->limits[FLO_QUOTA_REQUESTS_MINUTE], 60);
    assert_int_equal(bounds->limits[FLO_QUOTA_REQUESTS_DAY], 1000);
    assert_int_equal(bounds->limits[FLO_QUOTA_TOKENS_MINUTE], 5000);
    assert_int_equal(bounds->limits[FLO_QUOTA_TOKENS_DAY], 200000);
    assert_int_equal(bounds->prompt_tokens_max, 900);
    assert_int_equal(bounds->answer_tokens_max, 64);
    assert_true(bounds->is_batch);
    flo_settings_deinit(&settings);
}

static void limits_of_an_app_that_nobody_can_mean_are_refused(void **state)
{
    static const struct {
        const char *keys;
        int code;
        const char *what;
    } bad[] = {
        {"!requests_per_day: 5", FLO_E_CFG_KEY, "tokens.kiosk: missing key"},
        {", requests_per_day: 0", FLO_E_CFG_RANGE,
         "tokens.kiosk: `requests_per_day`: 0 is not within 1 to"},
        {", requests_per_hour: 5", FLO_E_CFG_KEY, "tokens.kiosk: unknown key `requests_per_hour`"},
        {", tokens_per_day: many", FLO_E_CFG_TYPE, "is not a whole number"},
        {", priority: low", FLO_E_CFG_RANGE, "tokens.kiosk.priority: `low` is neither"},
        {", models: [\"a b\"]", FLO_E_CFG_TYPE, "tokens.kiosk.models: element 1 is no name"},
        {", models: []", FLO_E_CFG_RANGE, "tokens.kiosk: `models`"},
    };

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        struct flo_settings settings;
        struct flo_err err = {0};
        assert_int_equal(load_app(*state, bad[i].keys, &settings, &err), bad[i].code);
        assert_non_null(strstr(err.what, bad[i].what));
    }
}

static void a_guard_is_a_program_or_a_model(void **state)
{
    const struct flo_serve_guard *guard;
    struct flo_settings settings;
    struct flo_err err = {0};

    assert_int_equal(load_text(*state,
                               "guards:\n"
                               "  words: {command: [/usr/bin/look, --all]}\n"
                               "  judge: {models: [tiny], stages: [prompt], model: guard, "
                               "ask: \"Safe? \", pass: yes, refuse: no, timeout: 250ms, "
                               "on_failure: pass}\n",
                               &settings, &err),
                     0);
    assert_int_equal(settings.rules.n_guards, 2);
    guard = &settings.rules.guards[0];
    assert_string_equal(guard->name, "words");
    assert_int_equal(guard->n_models, 0);
    assert_true(guard->looks_at[FLO_GUARD_PROMPT]);
    assert_true(guard->looks_at[FLO_GUARD_ANSWER]);
    assert_int_equal(guard->n_words, 2);
    assert_memory_equal(guard->words, "/usr/bin/look\0--all", 20);
    assert_int_equal(guard->ms_max, 5000);
    assert_false(guard->passes_on_failure);
    guard = &settings.rules.guards[1];
    assert_string_equal(guard->models[0], "tiny");
    assert_false(guard->looks_at[FLO_GUARD_ANSWER]);
    assert_int_equal(guard->n_words, 0);
    assert_string_equal(guard->model, "guard");
    assert_string_equal(guard->ask, "Safe? ");
    assert_string_equal(guard->pass, "yes");
    assert_int_equal(guard->ms_max, 250);
    assert_true(guard->passes_on_failure);
    flo_settings_deinit(&settings);
}

static void guards_that_guard_nothing_are_refused(void **state)
{
    static const struct {
        const char *map;
        int code;
        const char *what;
    } bad[] = {
        {"{}", FLO_E_CFG_KEY, "guards.a: one of `command` and `model`"},
        {"[]", FLO_E_CFG_TYPE, "guards.a: not a map of keys"},
        {"{command: [look]}", FLO_E_CFG_RANGE, "`look` is no absolute path"},
        {"{command: []}", FLO_E_CFG_RANGE, "guards.a: `command`"},
        {"{command: /bin/look}", FLO_E_CFG_TYPE, "guards.a: `command`"},
        {"{command: [/b], model: m, pass: a, refuse: b}", FLO_E_CFG_KEY,
         "one of `command` and `model`"},
        {"{command: [/b], pass: a}", FLO_E_CFG_KEY, "`model` needs `pass`"},
        {"{model: m, pass: a}", FLO_E_CFG_KEY, "`model` needs `pass`"},
        {"{model: m, pass: safe, refuse: Safely}", FLO_E_CFG_RANGE,
         "could begin with both `safe` and `Safely`"},
        {"{command: [/b], stages: [prompts]}", FLO_E_CFG_RANGE,
         "`prompts` is neither prompt nor answer"},
        {"{command: [/b], on_failure: ask}", FLO_E_CFG_RANGE, "`ask` is neither refuse nor pass"},
        {"{command: [/b], timeout: 0}", FLO_E_CFG_RANGE, "`timeout`"},
        {"{command: [/b], fails: 1}", FLO_E_CFG_KEY, "unknown key `fails`"},
    };
    char text[256];

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        snprintf(text, sizeof(text), "guards: {a: %s}\n", bad[i].map);
        refuses(*state, text, bad[i].code, bad[i].what);
    }
}

static void a_pipeline_has_its_stages_in_order(void **state)
{
    struct flo_settings settings;
    struct flo_err err = {0};

    assert_int_equal(
        load_text(*state, "pipelines: {intercom: [ear, helpdesk, ear]}\n", &settings, &err), 0);
    assert_int_equal(settings.pipeline_count, 1);
    assert_string_equal(settings.pipelines[0].name, "intercom");
    assert_int_equal(settings.pipelines[0].n_stages, 3);
    assert_string_equal(settings.pipelines[0].stages[1], "helpdesk");
    flo_settings_deinit(&settings);
}

static void pipelines_that_nobody_can_run_are_refused(void **state)
{
    refuses(*state, "pipelines: {intercom: ear}\n", FLO_E_CFG_TYPE, "list of 2 to 4");
    refuses(*state, "pipelines: {intercom: [ear]}\n", FLO_E_CFG_TYPE, "list of 2 to 4");
    refuses(*state, "pipelines: {intercom: [a, b, c, d, e]}\n", FLO_E_CFG_TYPE, "list of 2 to 4");
    refuses(*state, "pipelines: {intercom: [ear, 7]}\n", FLO_E_CFG_TYPE, "element 2");
    refuses(*state, "pipelines: {intercom: [ear, intercom]}\n", FLO_E_CFG_TYPE, "element 2");
    refuses(*state,
            "models: {ear: {alias: [intercom]}}\n"
            "pipelines: {intercom: [ear, desk]}\n",
            FLO_E_CFG_RANGE, "name or alias");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_threads_as_an_engine_takes),
        cmocka_unit_test(a_folder_of_batches_by_its_absolute_path),
        cmocka_unit_test(every_report_interval_that_the_controller_may_ask_for),
        cmocka_unit_test(an_address_that_nobody_can_listen_at_is_told_by_the_check),
        cmocka_unit_test(the_address_of_ollama_is_one_more),
        cmocka_unit_test(a_port_without_a_token_is_told_by_the_check),
        cmocka_unit_test(a_mirror_is_an_address_that_a_download_can_ask),
        cmocka_unit_test(a_model_has_other_names_and_tokens_of_its_own),
        cmocka_unit_test(an_app_has_limits_in_place_of_its_file_alone),
        cmocka_unit_test(limits_of_an_app_that_nobody_can_mean_are_refused),
        cmocka_unit_test(a_guard_is_a_program_or_a_model),
        cmocka_unit_test(guards_that_guard_nothing_are_refused),
        cmocka_unit_test(words_about_models_that_nobody_understands_are_refused),
        cmocka_unit_test(a_name_of_two_models_is_refused),
        cmocka_unit_test(a_pipeline_has_its_stages_in_order),
        cmocka_unit_test(pipelines_that_nobody_can_run_are_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
