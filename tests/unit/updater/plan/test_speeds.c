/* Speeds: among variants of one model file the device takes the fastest that it
 * measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/updater.h>

#include "base/host/json.h"

enum { GPU, NATIVE, RUNTIME };

/* model.gguf with three variants, all of which the device can serve. */
struct story {
    struct flo_release release;
    struct flo_profile profile;
    struct flo_plan_input input;
    struct flo_plan plan;
};

static void begin(struct story *story)
{
    static const char *const names[] = {"gpu", "native", "runtime"};
    static const char *const runtimes[] = {"llamacpp", "native", "llamacpp"};
    struct flo_release_file *model = &story->release.files[0];

    memset(story, 0, sizeof(*story));
    strcpy(story->release.model, "desk");
    strcpy(story->release.version, "1");
    strcpy(model->name, "model.gguf");
    strcpy(model->role, "model");
    model->bytes = 1000;
    model->way_count = 1;
    model->ways[0] = (struct flo_way){.codec = FLO_CODEC_RAW, .bytes = 1000};
    story->release.file_count = 1;
    story->release.variant_count = 3;
    for (uint32_t i = 0; i < 3; i++) {
        strcpy(story->release.variants[i].name, names[i]);
        strcpy(story->release.variants[i].runtime, runtimes[i]);
        story->release.variants[i].file_count = 1;
    }
    strcpy(story->release.variants[GPU].accelerator[0], "vulkan");
    strcpy(story->profile.accelerators[0], "vulkan");
    strcpy(story->profile.runtimes[0], "llamacpp");
    strcpy(story->profile.arch, "x86_64");
    story->profile.disk_free_bytes = 1 << 20;
    story->input.release = &story->release;
    story->input.profile = &story->profile;
}

static void measured(struct story *story, uint32_t variant, uint64_t token_us)
{
    flo_speeds_put(&story->profile.speeds, &story->release, variant, token_us);
}

static uint32_t planned(struct story *story)
{
    assert_int_equal(flo_plan_make(&story->input, &story->plan, NULL), 0);
    return story->plan.variant;
}

static void without_a_measurement_the_first_that_fits_is_taken(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    assert_int_equal(planned(&story), GPU);
    measured(&story, NATIVE, 100); /* the other one is not known */
    assert_int_equal(planned(&story), GPU);
}

static void the_variant_that_is_a_tenth_faster_is_taken_and_the_plan_says_why(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    measured(&story, GPU, 3100);
    measured(&story, NATIVE, 800);
    assert_int_equal(planned(&story), NATIVE);
    assert_string_equal(story.plan.chosen, "gpu took 3.10 ms per token here, native 0.80");
    measured(&story, GPU, 888);
    assert_int_equal(planned(&story), GPU);
    assert_string_equal(story.plan.chosen, FLO_PLAN_FIRST);
    measured(&story, GPU, 889);
    assert_int_equal(planned(&story), NATIVE);
}

static void the_fastest_of_three_is_taken(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    measured(&story, GPU, 3000);
    measured(&story, NATIVE, 1000);
    measured(&story, RUNTIME, 500);
    assert_int_equal(planned(&story), RUNTIME);
}

static void a_variant_that_does_not_fit_or_failed_is_not_taken_for_its_speed(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    measured(&story, GPU, 3000);
    measured(&story, NATIVE, 1000);
    measured(&story, RUNTIME, 0);
    strcpy(story.release.variants[NATIVE].engine[0], "mamba");
    assert_int_equal(planned(&story), GPU);
}

static void another_file_or_an_adapter_is_another_choice(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    measured(&story, GPU, 3000);
    measured(&story, NATIVE, 1000);
    story.release.files[1] = story.release.files[0];
    story.release.file_count = 2;
    story.release.variants[NATIVE].files[0] = 1;
    story.release.variants[NATIVE].entry = 1;
    assert_int_equal(planned(&story), GPU);
    story.release.variants[NATIVE].files[0] = 0;
    story.release.variants[NATIVE].entry = 0;
    assert_int_equal(planned(&story), NATIVE);
    strcpy(story.release.files[1].role, "adapter");
    story.release.variants[NATIVE].file_count = 2;
    story.release.variants[NATIVE].files[1] = 1;
    assert_int_equal(planned(&story), GPU);
}

static void a_variant_that_is_asked_for_by_name_is_taken(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    measured(&story, GPU, 3000);
    measured(&story, NATIVE, 1000);
    story.input.variant = "gpu";
    assert_int_equal(planned(&story), GPU);
}

static void rows_count_for_the_next_release_of_about_this_size(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    measured(&story, GPU, 3000);
    measured(&story, NATIVE, 1000);
    strcpy(story.release.version, "2");
    story.release.files[0].bytes = 1110;
    assert_int_equal(planned(&story), NATIVE);
    story.release.files[0].bytes = 2000;
    assert_int_equal(planned(&story), GPU);
    story.release.files[0].bytes = 1000;
    strcpy(story.release.variants[GPU].runtime, "vllm");
    strcpy(story.profile.runtimes[1], "vllm");
    assert_int_equal(planned(&story), GPU);
    strcpy(story.release.variants[GPU].runtime, "llamacpp");
    strcpy(story.release.model, "other");
    assert_int_equal(planned(&story), GPU);
}

static void each_alternative_is_measured_once(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    assert_int_equal(flo_plan_unmeasured(&story.release, &story.profile, GPU), NATIVE);
    measured(&story, GPU, 3000);
    measured(&story, NATIVE, 1000);
    assert_int_equal(flo_plan_unmeasured(&story.release, &story.profile, NATIVE), RUNTIME);
    measured(&story, RUNTIME, 0); /* it failed */
    assert_int_equal(flo_plan_unmeasured(&story.release, &story.profile, NATIVE), -1);
    begin(&story);
    strcpy(story.release.variants[NATIVE].engine[0], "mamba");
    assert_int_equal(flo_plan_unmeasured(&story.release, &story.profile, GPU), RUNTIME);
}

static void the_serving_variant_is_measured_again_when_its_row_is_gone(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    measured(&story, NATIVE, 1000);
    measured(&story, RUNTIME, 0);
    assert_int_equal(flo_plan_unmeasured(&story.release, &story.profile, GPU), NATIVE);
}

static void the_oldest_row_goes_when_there_is_no_room(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    measured(&story, GPU, 3000);
    measured(&story, NATIVE, 1000);
    for (uint32_t i = 0; i < FLO_SPEED_ROWS_MAX - 1; i++) {
        snprintf(story.release.model, sizeof(story.release.model), "m%u", i);
        measured(&story, NATIVE, 7);
    }
    assert_int_equal(story.profile.speeds.count, FLO_SPEED_ROWS_MAX);
    assert_string_equal(story.profile.speeds.rows[0].model, "desk");
    assert_string_equal(story.profile.speeds.rows[0].variant, "native");
}

static void rows_go_through_a_profile_and_a_damaged_one_is_refused(void **state)
{
    (void)state;
    struct story story;
    struct flo_profile read;
    struct flo_err err = {0};

    begin(&story);
    measured(&story, GPU, 3000);
    measured(&story, NATIVE, 0);
    json_t *profile =
        json_pack("{s:s, s:o}", "arch", "x86_64", "speeds", flo_speeds_json(&story.profile.speeds));
    assert_int_equal(flo_profile_parse(profile, &read, NULL), 0);
    assert_memory_equal(&read.speeds, &story.profile.speeds, sizeof(read.speeds));
    json_t *rows = json_object_get(profile, "speeds");
    for (int i = 0; i < 20; i++) {
        json_array_insert(rows, 0, json_array_get(rows, 0));
    }
    assert_int_equal(flo_profile_parse(profile, &read, NULL), 0);
    assert_int_equal(read.speeds.count, FLO_SPEED_ROWS_MAX);
    assert_string_equal(read.speeds.rows[FLO_SPEED_ROWS_MAX - 1].variant, "native");
    json_object_set_new(json_array_get(rows, 21), "token_us", json_integer(-1));
    assert_int_equal(flo_profile_parse(profile, &read, &err), FLO_E_META_SCHEMA);
    assert_non_null(strstr(err.what, "speeds[21]"));
    json_decref(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_measurement_the_first_that_fits_is_taken),
        cmocka_unit_test(the_variant_that_is_a_tenth_faster_is_taken_and_the_plan_says_why),
        cmocka_unit_test(the_fastest_of_three_is_taken),
        cmocka_unit_test(a_variant_that_does_not_fit_or_failed_is_not_taken_for_its_speed),
        cmocka_unit_test(another_file_or_an_adapter_is_another_choice),
        cmocka_unit_test(a_variant_that_is_asked_for_by_name_is_taken),
        cmocka_unit_test(rows_count_for_the_next_release_of_about_this_size),
        cmocka_unit_test(each_alternative_is_measured_once),
        cmocka_unit_test(the_serving_variant_is_measured_again_when_its_row_is_gone),
        cmocka_unit_test(the_oldest_row_goes_when_there_is_no_room),
        cmocka_unit_test(rows_go_through_a_profile_and_a_damaged_one_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
