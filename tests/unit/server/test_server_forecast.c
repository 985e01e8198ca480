/* The plan before a rollout: what a device would do with a release, by its last
 * report.  The functions are the device's own; here they get its report. */
#include <flotilla/errors/memory.h>
#include <flotilla/errors/target.h>

#include "server-stub/state/forecast/cost.h"
#include "tests/unit/server/world.h"

#define BASE "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define NEXT "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define LORA "sha256:3333333333333333333333333333333333333333333333333333333333333333"
#define PATCH "sha256:4444444444444444444444444444444444444444444444444444444444444444"
#define OTHER "sha256:5555555555555555555555555555555555555555555555555555555555555555"

/* ---- releases ---- */

#define FILE_OF(name, role, digest, bytes, more)                                                   \
    "{\"name\":\"" name "\",\"role\":\"" role "\",\"digest\":\"" digest "\",\"bytes\":" bytes      \
    ",\"get\":[{\"codec\":\"raw\",\"digest\":\"" digest "\",\"bytes\":" bytes "}" more "]}"
#define RELEASE(model, number, base, files, names, needs)                                          \
    "{\"v\":2,\"fleet\":\"demo\",\"model\":\"" model "\",\"version\":\"" number                    \
    "\",\"number\":" number ",\"created_at_ms\":0" base ",\"files\":[" files                       \
    "],\"variants\":[{\"name\":\"q4\",\"files\":[" names                                           \
    "],\"entry\":\"model.gguf\",\"needs\":{" needs "}}]}"

/* tiny 1 has BASE; tiny 2 has NEXT, or a patch over BASE; tiny 3 is BASE with
 * an adapter; tiny 4 is for a runtime. */
static const char first[] =
    RELEASE("tiny", "1", "", FILE_OF("model.gguf", "model", BASE, "100000000", ""),
            "\"model.gguf\"", "\"arch\":[\"x86_64\"]");
static const char second[] =
    RELEASE("tiny", "2", "",
            FILE_OF("model.gguf", "model", NEXT, "120000000",
                    ",{\"codec\":\"bsdiff40\",\"digest\":\"" PATCH
                    "\",\"bytes\":5000000,\"base\":\"" BASE "\",\"memory_bytes\":1000000}"),
            "\"model.gguf\"", "\"arch\":[\"x86_64\"]");
static const char third[] =
    RELEASE("tiny", "3", ",\"base\":{\"release\":\"" DIGEST "\",\"number\":1}",
            FILE_OF("model.gguf", "model", BASE, "100000000", "") "," FILE_OF("ops.gguf", "adapter",
                                                                              LORA, "4000000", ""),
            "\"model.gguf\",\"ops.gguf\"", "\"arch\":[\"x86_64\"]");
static const char fourth[] =
    RELEASE("tiny", "4", "", FILE_OF("model.gguf", "model", OTHER, "100000000", ""),
            "\"model.gguf\"", "\"runtime\":\"llamacpp\"");

/* tiny 5 has a variant for a GPU, and one for our engine. */
static const char fifth[] =
    "{\"v\":2,\"fleet\":\"demo\",\"model\":\"tiny\",\"version\":\"5\",\"number\":5,\"created_at_"
    "ms\":"
    "0,\"files\":[" FILE_OF("model.gguf", "model", OTHER, "100000000",
                            "") "],\"variants\":[{"
                                "\"name\":\"gpu\",\"files\":[\"model.gguf\"],\"entry\":\"model."
                                "gguf\",\"needs\":{\"runtime\":"
                                "\"llamacpp\",\"accelerator\":[\"cuda\"]}},{\"name\":\"native\","
                                "\"files\":[\"model.gguf\"],"
                                "\"entry\":\"model.gguf\",\"needs\":{\"engine\":[\"llama\"]}}]}";

static struct flo_release *base_release; /* tiny 1, known by DIGEST */

static const struct flo_release *find(void *context, const struct flo_digest *digest)
{
    char text[FLO_DIGEST_TEXT];

    (void)context;
    flo_digest_text(digest, text);
    return strcmp(text, DIGEST) == 0 ? base_release : NULL;
}

/* ---- reports ---- */

#define PROFILE(arch, disk, more)                                                                  \
    "\"profile\":{\"arch\":\"" arch "\",\"memory_bytes\":500000000,\"disk_free_bytes\":" disk more \
    "}"
#define FIGURES(digest, bytes, private)                                                            \
    "\"memory\":{\"measured\":true,\"files\":[{\"digest\":\"" digest "\",\"bytes\":" bytes         \
    "}],\"private_bytes\":[" private "]}"
#define TINY(more)                                                                                 \
    "{\"model\":\"tiny\",\"current\":{\"release\":\"" DIGEST                                       \
    "\",\"version\":\"1\",\"number\":1},\"floor\":1,\"floor_hard\":"                               \
    "0," FIGURES(BASE, "100000000", "60000000,50000000,40000000,30000000,20000000") more "}"
#define HELP(private)                                                                              \
    "{\"model\":\"help\",\"current\":{\"release\":\"" NEXT_DIGEST                                  \
    "\",\"version\":\"7\",\"number\":7}," FIGURES(OTHER, "200000000", private) "}"
#define REPORT(profile, models)                                                                    \
    "{\"v\":2," profile ",\"memory\":{\"budget\":500000000},\"models\":[" models "]}"
#define USUAL PROFILE("x86_64", "900000000", "")

static struct flo_forecast ask(const char *body, const char *report, bool lifts, bool below_floor)
{
    struct flo_forecast out;
    struct flo_release *release = NULL;
    struct flo_err err = {0};
    json_t *json = NULL;

    if (flo_release_new(body, strlen(body), NULL, &release, &err) < 0 ||
        flo_json_parse(report, strlen(report), 65536, &json, &err) < 0) {
        fail_msg("%s", err.what);
    }
    struct flo_forecast_order order = {
        .release = release, .lifts = lifts, .below_floor = below_floor};
    assert_true(flo_digest_parse(LORA, &order.digest));
    flo_forecast_device(json, &order, find, NULL, &out);
    json_decref(json);
    flo_release_free(release);
    return out;
}

static struct flo_forecast forecast(const char *body, const char *report)
{
    return ask(body, report, false, false);
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(flo_release_new(first, strlen(first), NULL, &base_release, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    flo_release_free(base_release);
    return 0;
}

static void is_refused(const char *body, const char *report, int code, const char *says)
{
    struct flo_forecast out = forecast(body, report);

    assert_string_equal(flo_forecast_word(out.result), "cannot");
    assert_string_equal(flo_error_id(out.why.code), flo_error_id(code));
    if (strstr(out.why.what, says) == NULL) {
        fail_msg("`%s` is not in `%s`", says, out.why.what);
    }
}

/* ---- ways ---- */

static void bytes_come_by_delta_whole_or_adapter(void **state)
{
    (void)state;
    struct flo_forecast out = forecast(second, REPORT(USUAL, TINY("")));
    assert_string_equal(flo_forecast_word(out.result), "takes");
    assert_string_equal(out.way, "delta");
    assert_int_equal(out.bytes, 5000000);
    assert_int_equal(out.full_bytes, 120000000);
    assert_string_equal(out.variant, "q4");

    out = forecast(second, REPORT(USUAL, ""));
    assert_string_equal(out.way, "whole");
    assert_int_equal(out.bytes, 120000000);

    out = forecast(third, REPORT(USUAL, TINY("")));
    assert_string_equal(out.way, "adapter");
    assert_int_equal(out.bytes, 4000000);

    /* without the base both are fetched */
    out = forecast(third, REPORT(USUAL, ""));
    assert_string_equal(out.way, "whole");
    assert_int_equal(out.bytes, 104000000);
}

static void the_variant_that_a_device_takes_has_its_reason(void **state)
{
    (void)state;
#define READY ",\"runtimes\":[{\"name\":\"llamacpp\",\"state\":\"ready\"}]"
    struct flo_forecast out = forecast(fifth, REPORT(PROFILE("x86_64", "900000000", READY), ""));
    assert_string_equal(out.variant, "native");
    assert_string_equal(out.chosen, "gpu needs accelerator cuda");

    out = forecast(fifth, REPORT(PROFILE("x86_64", "900000000",
                                         READY ",\"accelerators\":[{\"kind\":\"cuda\"}]"),
                                 ""));
    assert_string_equal(out.variant, "gpu");
    assert_string_equal(out.chosen, "the first variant");

    assert_string_equal(forecast(second, REPORT(USUAL, "")).chosen, "");
}

static void a_device_that_never_reported_is_not_guessed_about(void **state)
{
    (void)state;
    assert_string_equal(flo_forecast_word(forecast(second, "{}").result), "silent");
}

/* ---- refusals ---- */

static void what_does_not_fit_the_device_is_said_in_its_own_words(void **state)
{
    (void)state;
    is_refused(second, REPORT(PROFILE("riscv64", "900000000", ""), ""), FLO_E_TARGET_INCOMPATIBLE,
               "arch riscv64");
    is_refused(second, REPORT(PROFILE("x86_64", "1000000", ""), TINY("")), FLO_E_DISK_FULL,
               "1000000 free");
    is_refused(fourth, REPORT(USUAL, ""), FLO_E_TARGET_INCOMPATIBLE, "runtime llamacpp");
    assert_string_equal(
        flo_forecast_word(forecast(fourth, REPORT(PROFILE("x86_64", "900000000",
                                                          ",\"runtimes\":[{\"name\":\"llamacpp\","
                                                          "\"state\":\"ready\"}]"),
                                                  ""))
                              .result),
        "takes");
    is_refused(second, "{\"profile\":{\"arch\":7},\"models\":[]}", FLO_E_META_SCHEMA,
               "the device's profile");
}

static void floors_and_denials_hold_as_on_the_device(void **state)
{
    (void)state;
    static const char high[] = REPORT(USUAL, "{\"model\":\"tiny\",\"floor\":9,\"floor_hard\":0}");
    static const char hard[] = REPORT(USUAL, "{\"model\":\"tiny\",\"floor\":9,\"floor_hard\":5}");
    static const char denied[] = REPORT(USUAL, TINY(",\"denied\":[\"" LORA "\"]"));

    is_refused(second, high, FLO_E_TARGET_FLOOR, "9");
    assert_string_equal(flo_forecast_word(ask(second, high, false, true).result), "takes");
    assert_string_equal(flo_forecast_word(ask(second, hard, false, true).result), "cannot");
    is_refused(second, denied, FLO_E_TARGET_DENIED, "denies");
    assert_string_equal(flo_forecast_word(ask(second, denied, true, false).result), "takes");
}

/* ---- memory ---- */

static void a_second_model_counts_in_the_memory(void **state)
{
    (void)state;
    /* 120 + 20 MB at the least next to 200 + 10: it fits, some rungs down */
    struct flo_forecast out =
        forecast(second, REPORT(USUAL, TINY("") "," HELP("10000000,10000000,10000000,10000000,"
                                                         "10000000")));
    assert_string_equal(flo_forecast_word(out.result), "takes");
    assert_string_not_equal(out.memory, "unknown");
    assert_string_not_equal(out.memory, "alone");

    /* next to 200 + 290 that is on demand nothing has room */
    is_refused(second,
               REPORT(USUAL, TINY("") "," HELP("390000000,390000000,390000000,"
                                               "390000000,390000000")),
               FLO_E_MEMORY_BUDGET, "the budget is 500000000");
    /* alone a device may try */
    out = forecast(second, REPORT(USUAL, TINY("")));
    assert_string_equal(out.memory, "alone");
    /* an older agent says no figures: nothing is claimed */
    out = forecast(second, REPORT(USUAL, "{\"model\":\"tiny\",\"current\":{\"release\":"
                                         "\"" DIGEST "\"}}"));
    assert_string_equal(flo_forecast_word(out.result), "takes");
    assert_string_equal(out.memory, "unknown");
}

static void costs_are_counted_by_phase_group_and_way_back(void **state)
{
    static const char *const groups[] = {"[\"all\",\"lab\"]", "[\"all\",\"lab\",\"vip\"]", ""};
    static const struct flo_forecast told[] = {
        {.result = FLO_FORECAST_TAKES, .bytes = 70, .before = "1"},
        {.result = FLO_FORECAST_TAKES, .bytes = 30},
        {.result = FLO_FORECAST_CANNOT, .bytes = 900, .before = "1"}};
    struct flo_rollout_member members[3] = {{.device = "a", .phase = 0},
                                            {.device = "b", .phase = 1},
                                            {.device = "c", .phase = FLO_ROLLOUT_PHASES_MAX}};
    struct flo_rollout *core = calloc(1, sizeof(*core));
    struct flo_forecast_costs *costs = calloc(1, sizeof(*costs));

    (void)state;
    core->members = members;
    core->member_count = core->member_capacity = FLO_COUNT(members);
    for (size_t i = 0; i < FLO_COUNT(members); i++) {
        struct flo_fleet_device device = {.id = members[i].device, .groups = groups[i]};
        flo_forecast_cost_add(costs, core, &device, &told[i]);
    }
    assert_int_equal(costs->phases[0].bytes, 70);
    assert_int_equal(costs->phases[1].bytes, 30);
    assert_int_equal(costs->group_count, 2);
    assert_string_equal(costs->groups[0].name, "lab");
    assert_int_equal(costs->groups[0].bytes, 100);
    assert_int_equal(costs->groups[1].takes, 1);
    assert_int_equal(costs->kept, 1);
    assert_int_equal(costs->first, 1);
    assert_int_equal(costs->before_count, 1);
    assert_string_equal(costs->before[0].name, "1");
    assert_int_equal(costs->bytes_most, 70);
    free(costs);
    free(core);
}

static void a_device_that_has_the_release_fetches_nothing(void **state)
{
    (void)state;
    struct flo_forecast out = forecast(second, REPORT(USUAL, "{\"model\":\"tiny\",\"current\":{"
                                                             "\"release\":\"" LORA "\"}}"));
    assert_string_equal(flo_forecast_word(out.result), "has");
    assert_int_equal(out.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_by_delta_whole_or_adapter),
        cmocka_unit_test(the_variant_that_a_device_takes_has_its_reason),
        cmocka_unit_test(a_device_that_never_reported_is_not_guessed_about),
        cmocka_unit_test(what_does_not_fit_the_device_is_said_in_its_own_words),
        cmocka_unit_test(floors_and_denials_hold_as_on_the_device),
        cmocka_unit_test(a_second_model_counts_in_the_memory),
        cmocka_unit_test(a_device_that_has_the_release_fetches_nothing),
        cmocka_unit_test(costs_are_counted_by_phase_group_and_way_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
