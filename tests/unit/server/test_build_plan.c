/* Plan and verdicts of a build: which steps there are, what they depend on, and
 * by how much a gate failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/host/digest.h"
#include "server-stub/cli/builds/verdict.h"

#define SPEC                                                                                       \
    "release: helpdesk@1\nfrom: model\ncalibrate: use.txt\n"                                       \
    "variants: [{type: q8_0}, {name: small, fit: 2MB, needs: {context: 512}}, {name: all}]\n"      \
    "evaluate: {suite: suite.jsonl, gates: {answers_right_min: 90%, kl_max: 0.02}}\n"              \
    "golden: {prompts: p.txt}\n"

static const char report_text[] =
    "{\"suite\": {\"cases\": 16}, \"models\": ["
    "{\"exact\": 16, \"kl_mean\": 0.0, \"bytes\": 6068032},"
    "{\"exact\": 15, \"kl_mean\": 0.000123456789, \"bytes\": 3241792},"
    "{\"exact\": 13, \"kl_mean\": null, \"bytes\": 1998144}]}";

struct world {
    struct flo_build_spec *spec;
    struct flo_build_digests digests;
    struct flo_build_plan plan;
};

static void open_world(struct world *world, const char *text)
{
    struct flo_err err = {0};

    *world = (struct world){.digests = {.is_folder = true}};
    flo_sha256("program", 7, &world->digests.program);
    flo_sha256("from", 4, &world->digests.from);
    flo_sha256("use", 3, &world->digests.calibrate);
    flo_sha256("suite", 5, &world->digests.suite);
    flo_sha256("prompts", 7, &world->digests.golden);
    assert_int_equal(flo_build_spec_read(text, strlen(text), "b", "/s", &world->spec, &err), 0);
    assert_int_equal(flo_build_plan(world->spec, &world->digests, "/w", &world->plan, &err), 0);
}

static void close_world(struct world *world)
{
    flo_build_plan_deinit(&world->plan);
    flo_build_spec_free(world->spec);
}

/* The words of a step, with a blank between them. */
static void join(const struct flo_build_step *step, char *out, size_t bytes)
{
    out[0] = '\0';
    for (size_t i = 0; step->words[i] != NULL; i++) {
        size_t used = strlen(out);
        snprintf(out + used, bytes - used, "%s%s", i > 0 ? " " : "", step->words[i]);
    }
}

static void expect_words(const struct flo_build_step *step, const char *format, ...)
{
    char want[1024], got[1024];
    va_list values;

    va_start(values, format);
    vsnprintf(want, sizeof(want), format, values);
    va_end(values);
    join(step, got, sizeof(got));
    assert_string_equal(got, want);
}

static void a_plan_has_a_step_for_each_result(void **state)
{
    (void)state;
    struct world world;

    open_world(&world, SPEC);

    const struct flo_build_step *s = world.plan.steps;
    assert_int_equal(world.plan.count, 5);
    expect_words(&s[0], "import /s/./model --to %s/model.gguf", s[0].folder);
    expect_words(&s[1], "quantize %s %s q8_0 --calibrate /s/./use.txt", s[0].result, s[1].result);
    expect_words(&s[2], "quantize %s %s --fit 2MB --calibrate /s/./use.txt", s[0].result,
                 s[2].result);
    expect_words(&s[3], "compare /s/./suite.jsonl %s %s %s --page %s/page.html --json", s[0].result,
                 s[1].result, s[2].result, s[3].folder);
    expect_words(&s[4],
                 "golden create %s --model %s --for %s --for %s --prompts /s/./p.txt --ctx 512",
                 s[4].result, s[0].result, s[1].result, s[2].result);
    assert_string_equal(world.plan.models[2], s[0].result);
    assert_int_equal(world.plan.places[2], 0);
    assert_int_equal(world.plan.places[1], 2);
    close_world(&world);
}

static void a_model_alone_is_compared_with_itself(void **state)
{
    (void)state;
    struct world world;

    open_world(&world, "release: a@1\nfrom: /m.gguf\nevaluate: {suite: /s}\n");
    /* `from` is a folder here: the step before is the import */
    const struct flo_build_step *step = &world.plan.steps[1];
    assert_string_equal(step->words[2], world.plan.original);
    assert_string_equal(step->words[3], world.plan.original);
    close_world(&world);
}

static void golden_prompts_that_are_there_are_not_made(void **state)
{
    (void)state;
    struct world world;

    open_world(&world, "release: a@1\nfrom: m\ngolden: {file: g.json}\n");
    assert_int_equal(world.plan.count, 1);
    assert_string_equal(world.plan.golden, "/s/./g.json");
    close_world(&world);
}

/* Marks each step whose folder differs between two plans, as "-q-eg". */
static void differ(const struct world *a, const struct world *b, char *out)
{
    static const char letters[] = "iqeg";

    assert_int_equal(a->plan.count, b->plan.count);
    for (size_t i = 0; i < a->plan.count; i++) {
        bool is_same = strcmp(a->plan.steps[i].folder, b->plan.steps[i].folder) == 0;
        out[i] = is_same ? '-' : letters[a->plan.steps[i].kind];
    }
    out[a->plan.count] = '\0';
}

static void only_what_depends_on_a_change_is_done_again(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *differs;
    } changes[] = {
        {"fit: 2MB", "fit: 3MB", "--qeg"},
        {"type: q8_0", "type: q4_0", "-q-eg"},
        {"calibrate: use.txt", "calibrate: builtin", "-qqeg"},
        {"prompts: p.txt", "kept_min: 3", "----g"},
        {"kl_max: 0.02", "kl_max: 0.5", "-----"},
        {"name: small", "name: tiny", "-----"},
        {"release: helpdesk@1", "release: helpdesk@2", "-----"},
    };

    for (size_t i = 0; i < FLO_COUNT(changes); i++) {
        char text[sizeof(SPEC) + 64], got[8];
        struct world before, after;
        const char *at = strstr(SPEC, changes[i].from);
        assert_non_null(at);
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - SPEC), SPEC, changes[i].to,
                 at + strlen(changes[i].from));
        open_world(&before, SPEC);
        open_world(&after, text);
        differ(&before, &after, got);
        assert_string_equal(got, changes[i].differs);
        close_world(&before);
        close_world(&after);
    }
}

static void another_file_is_another_result(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        const char *differs;
    } files[] = {
        {offsetof(struct flo_build_digests, program), "iqqeg"},
        {offsetof(struct flo_build_digests, from), "iqqeg"},
        {offsetof(struct flo_build_digests, calibrate), "-qqeg"},
        {offsetof(struct flo_build_digests, suite), "---e-"},
        {offsetof(struct flo_build_digests, golden), "----g"},
    };

    for (size_t i = 0; i < FLO_COUNT(files); i++) {
        struct world before, after;
        char got[8];
        open_world(&before, SPEC);
        open_world(&after, SPEC);
        flo_build_plan_deinit(&after.plan);
        flo_sha256("other", 5, (struct flo_digest *)((char *)&after.digests + files[i].offset));
        assert_int_equal(flo_build_plan(after.spec, &after.digests, "/w", &after.plan, NULL), 0);
        differ(&before, &after, got);
        assert_string_equal(got, files[i].differs);
        close_world(&before);
        close_world(&after);
    }
}

static void a_gate_says_by_how_much_it_failed(void **state)
{
    (void)state;
    struct world world;
    struct flo_err err = {0};
    json_t *report = json_loads(report_text, 0, NULL), *verdicts = json_array();

    open_world(&world, SPEC);
    assert_int_equal(flo_build_judge(world.spec, &world.plan, report, verdicts, &err), 0);
    assert_int_equal(flo_build_judge_golden(world.spec, 5, verdicts, &err), 0);

    static const struct {
        const char *variant, *gate, *verdict, *short_by;
    } want[] = {
        {"q8_0", "answers_right_min", "passed", ""},
        {"q8_0", "kl_max", "passed", ""},
        {"small", "answers_right_min", "failed", "8.75 points too few"},
        {"small", "kl_max", "failed", "not measured"},
        {"all", "answers_right_min", "passed", ""},
        {"all", "kl_max", "passed", ""},
        {"all", "golden.kept_min", "failed", "3 too few"},
    };
    assert_int_equal(json_array_size(verdicts), FLO_COUNT(want));
    for (size_t i = 0; i < FLO_COUNT(want); i++) {
        const json_t *got = json_array_get(verdicts, i);
        assert_true(flo_json_says(got, "variant", want[i].variant));
        assert_true(flo_json_says(got, "gate", want[i].gate));
        assert_true(flo_json_says(got, "verdict", want[i].verdict));
        assert_true(flo_json_says(got, "short_by", want[i].short_by));
    }
    assert_string_equal(flo_error_id(flo_build_check(verdicts, &err)), "model.gate");
    assert_string_equal(err.what,
                        "variant small: answers right is 81.25, and `answers_right_min` is 90 "
                        "(8.75 points too few); 3 of 7 gates failed");
    json_decref(report);
    json_decref(verdicts);
    close_world(&world);
}

static void figures_for_the_release_end_where_the_text_is_full(void **state)
{
    (void)state;
    struct world world;
    json_t *report = json_loads(report_text, 0, NULL);
    char out[160];

    open_world(&world, SPEC);
    flo_build_quality(world.spec, &world.plan, report, out, sizeof(out));
    assert_string_equal(out,
                        "q8_0: 3241792 bytes, KL 0.0001, 15 of 16 right; small: 1998144 bytes, "
                        "13 of 16 right; all: 6068032 bytes, KL 0.0000, 16 of 16 right");
    flo_build_quality(world.spec, &world.plan, report, out, 60);
    assert_string_equal(out, "q8_0: 3241792 bytes, KL 0.0001, 15 of 16 right");
    json_decref(report);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_has_a_step_for_each_result),
        cmocka_unit_test(a_model_alone_is_compared_with_itself),
        cmocka_unit_test(golden_prompts_that_are_there_are_not_made),
        cmocka_unit_test(only_what_depends_on_a_change_is_done_again),
        cmocka_unit_test(another_file_is_another_result),
        cmocka_unit_test(a_gate_says_by_how_much_it_failed),
        cmocka_unit_test(figures_for_the_release_end_where_the_text_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
