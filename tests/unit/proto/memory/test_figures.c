/* Figures of memory: those of a release, and those that a device tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/damage.h"

#include "proto/memory/figures.h"

static const char told_text[] =
    "{\"pinned\":true,\"weight\":7,\"resident\":false,\"measured\":true,\"adapter_bytes\":100,"
    "\"draft_bytes\":30,\"files\":[{\"digest\":\"sha256:"
    "0000000000000000000000000000000000000000000000000000000000000001\",\"bytes\":5000}],"
    "\"private_bytes\":[1000,900,800,700,50]}";

static int read_told(const json_t *json, struct flo_err *err)
{
    struct flo_memory_told told;

    return flo_memory_told_read(json, "tiny", &told, err);
}

static void each_damaged_value_of_a_report_is_refused(void **state)
{
    (void)state;
    assert_true(damage_all(told_text, read_told, NULL) > 180);
}

static void what_a_device_tells_is_read_as_it_was_written(void **state)
{
    struct flo_memory_told told;
    struct flo_memory_told again;
    json_t *json = json_loads(told_text, 0, NULL);
    (void)state;

    assert_int_equal(flo_memory_told_read(json, "tiny", &told, NULL), 0);
    json_decref(json);
    told.model.files[0].bytes = UINT64_MAX; /* more than JSON's numbers hold exactly */
    json = flo_memory_told_json(&told);
    assert_int_equal(flo_memory_told_read(json, "tiny", &again, NULL), 0);

    assert_string_equal(again.model.name, "tiny");
    assert_int_equal(again.model.weight, 7);
    assert_int_equal(again.model.rungs, FLO_MEMORY_RUNGS);
    assert_int_equal(again.model.private_bytes[4], 50);
    assert_int_equal(again.draft_bytes, 30);
    assert_int_equal(again.model.files[0].bytes, UINT64_C(1) << 53);
    json_decref(json);
}

static void measured_figures_are_without_adapter_and_draft_and_never_below_nothing(void **state)
{
    uint64_t bytes[FLO_MEMORY_RUNGS];
    struct flo_memory_told told;
    json_t *json = json_loads(told_text, 0, NULL);
    (void)state;

    assert_int_equal(flo_memory_told_read(json, "tiny", &told, NULL), 0);
    json_decref(json);
    assert_true(flo_memory_told_measured(&told, bytes));
    assert_int_equal(bytes[0], 870); /* the draft is there at rung 0 alone */
    assert_int_equal(bytes[1], 800);
    assert_int_equal(bytes[4], 0);
    told.model.rungs = 1; /* of another version */
    assert_false(flo_memory_told_measured(&told, bytes));
    told.model.rungs = FLO_MEMORY_RUNGS;
    told.is_measured = false;
    assert_false(flo_memory_told_measured(&told, bytes));
}

static void an_adapter_counts_as_its_file_and_its_values(void **state)
{
    struct flo_release_file adapter = {.bytes = 10};
    (void)state;

    assert_int_equal(flo_memory_adapter_bytes(NULL), 0);
    assert_int_equal(flo_memory_adapter_bytes(&adapter), 30);
    adapter.bytes = UINT64_MAX; /* no such file: nothing overflows */
    assert_int_equal(flo_memory_adapter_bytes(&adapter), 0);
}

static void a_release_that_needs_more_than_its_file_says_so(void **state)
{
    struct flo_release release = {.variant_count = 1, .file_count = 1};
    struct flo_release_variant *variant = &release.variants[0];
    const struct flo_release_file *file = &release.files[0];
    struct flo_memory_model model = {.weight = 3};
    uint64_t measured[FLO_MEMORY_RUNGS] = {5, 4, 3, 2, 1};
    (void)state;

    release.files[0].bytes = 1000;
    flo_memory_figures(&release, variant, file, NULL, &model);
    uint64_t least = model.private_bytes[0];
    variant->memory_bytes = 1000 + least + 1;
    flo_memory_figures(&release, variant, file, NULL, &model);
    assert_int_equal(model.private_bytes[0], least + 1);
    flo_memory_figures(&release, variant, file, measured, &model);
    assert_int_equal(model.private_bytes[4], 1);
    assert_int_equal(model.weight, 3); /* kept */
}

static void a_draft_counts_by_its_file_until_memory_is_short(void **state)
{
    struct flo_release release = {
        .variant_count = 1,
        .file_count = 2,
        .files = {{.role = "model", .bytes = 1000}, {.role = "draft", .bytes = 70}},
        .variants = {{.file_count = 1, .files = {0, 1}}},
    };
    struct flo_release_variant *variant = &release.variants[0];
    struct flo_memory_model plain, drafted;
    const uint64_t measured[FLO_MEMORY_RUNGS] = {5, 4, 3, 2, 1};
    (void)state;

    flo_memory_figures(&release, variant, &release.files[0], NULL, &plain);
    assert_int_equal(flo_memory_draft_bytes(&release, variant), 0);
    variant->file_count = 2;
    assert_int_equal(flo_memory_draft_bytes(&release, variant), 70);
    flo_memory_figures(&release, variant, &release.files[0], NULL, &drafted);
    assert_int_equal(drafted.private_bytes[0], plain.private_bytes[0] + 70);
    assert_int_equal(drafted.private_bytes[1], plain.private_bytes[1]);
    flo_memory_figures(&release, variant, &release.files[0], measured, &drafted);
    assert_int_equal(drafted.private_bytes[0], 75);
    assert_int_equal(drafted.private_bytes[4], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_damaged_value_of_a_report_is_refused),
        cmocka_unit_test(what_a_device_tells_is_read_as_it_was_written),
        cmocka_unit_test(measured_figures_are_without_adapter_and_draft_and_never_below_nothing),
        cmocka_unit_test(an_adapter_counts_as_its_file_and_its_values),
        cmocka_unit_test(a_release_that_needs_more_than_its_file_says_so),
        cmocka_unit_test(a_draft_counts_by_its_file_until_memory_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
