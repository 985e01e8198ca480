/* The plan: which variant, which way per file, and every no with its numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/memory.h>
#include <flotilla/errors/target.h>
#include <flotilla/updater.h>

#include "unit/damage.h"

static struct flo_digest digest_of(uint8_t n)
{
    struct flo_digest digest;

    memset(digest.bytes, n, sizeof(digest.bytes));
    return digest;
}

enum { MODEL = 10, MODEL_ZSTD, PATCH, BASE, GOLDEN };

/* model.gguf of 1000 bytes: raw 1000, zstd 900, bsdiff40 100 over BASE;
 * golden.json of 20 bytes. */
struct story {
    struct flo_release release;
    struct flo_profile profile;
    struct flo_digest present[4];
    struct flo_plan_input input;
    struct flo_plan plan;
    struct flo_err err;
};

static void begin(struct story *story)
{
    struct flo_release *release = &story->release;
    struct flo_release_file *model = &release->files[0];
    struct flo_release_file *golden = &release->files[1];

    memset(story, 0, sizeof(*story));
    strcpy(release->model, "tiny");
    strcpy(release->version, "2.1.0");
    release->variant_count = 1;
    strcpy(release->variants[0].name, "q4_0");
    release->variants[0].file_count = 2;
    release->variants[0].files[1] = 1;
    release->file_count = 2;
    strcpy(model->name, "model.gguf");
    model->digest = digest_of(MODEL);
    model->bytes = 1000;
    model->way_count = 3;
    model->ways[0] =
        (struct flo_way){.codec = FLO_CODEC_RAW, .digest = digest_of(MODEL), .bytes = 1000};
    model->ways[1] =
        (struct flo_way){.codec = FLO_CODEC_ZSTD, .digest = digest_of(MODEL_ZSTD), .bytes = 900};
    model->ways[2] = (struct flo_way){.codec = FLO_CODEC_BSDIFF40,
                                      .digest = digest_of(PATCH),
                                      .bytes = 100,
                                      .base = digest_of(BASE),
                                      .memory_bytes = 16 << 20};
    strcpy(golden->name, "golden.json");
    golden->digest = digest_of(GOLDEN);
    golden->bytes = 20;
    golden->way_count = 1;
    golden->ways[0] =
        (struct flo_way){.codec = FLO_CODEC_RAW, .digest = digest_of(GOLDEN), .bytes = 20};
    strcpy(story->profile.arch, "x86_64");
    story->profile.memory_bytes = 1 << 20;
    story->profile.disk_free_bytes = 1 << 20;
    story->input.release = release;
    story->input.profile = &story->profile;
    story->input.present = story->present;
}

static void have(struct story *story, uint8_t n)
{
    story->present[story->input.present_count++] = digest_of(n);
}

static int plan(struct story *story)
{
    memset(&story->err, 0, sizeof(story->err));
    return flo_plan_make(&story->input, &story->plan, &story->err);
}

/* The way that was chosen for the model, the last step. */
static int model_way(const struct story *story)
{
    assert_int_equal(story->plan.step_count, 2);
    assert_int_equal(story->plan.steps[1].file, 0);
    return story->plan.steps[1].way;
}

static void a_delta_whose_base_is_here_is_the_smallest_way(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    have(&story, BASE);

    assert_int_equal(plan(&story), 0);

    assert_int_equal(model_way(&story), 2);
    assert_int_equal(story.plan.codec, FLO_CODEC_BSDIFF40);
    assert_int_equal(story.plan.fetch_bytes, 120);
    assert_int_equal(story.plan.full_bytes, 1020);
    assert_int_equal(story.plan.disk_bytes, 1120);
    assert_string_equal(story.plan.reason, "smallest way");
}

static void without_the_base_the_compressed_file_is_taken(void **state)
{
    (void)state;
    struct story story;

    begin(&story);

    assert_int_equal(plan(&story), 0);

    assert_int_equal(model_way(&story), 1);
    assert_string_equal(story.plan.reason, "the delta's base is not here");
}

static void packed_weights_are_counted_where_there_is_room(void **state)
{
    (void)state;
    const uint64_t packed = 1000 + 1000 / 16 + (1 << 20);
    struct story story;

    begin(&story);
    have(&story, BASE);
    strcpy(story.release.files[0].role, "model");
    story.profile.packs = true;
    story.profile.disk_free_bytes = 1120 + packed;

    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.packed_bytes, packed);
    assert_int_equal(story.plan.disk_bytes, 1120 + packed);

    /* They are no reason to refuse. */
    story.profile.disk_free_bytes--;
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.packed_bytes, 0);
    assert_int_equal(story.plan.disk_bytes, 1120);

    /* A model that is here was packed already. */
    story.profile.disk_free_bytes++;
    have(&story, MODEL);
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.packed_bytes, 0);
}

static void kept_prefixes_give_way(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    have(&story, BASE);
    story.profile.disk_free_bytes = 1000;
    story.profile.kept_bytes = 120;

    /* Their room is free room, and what is needed of it is said. */
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.disk_bytes, 1120);
    assert_int_equal(story.plan.drop_bytes, 120);
    story.profile.disk_free_bytes = 1120;
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.drop_bytes, 0);

    /* They are not more than they are. */
    story.profile.disk_free_bytes = 899;
    assert_int_equal(plan(&story), FLO_E_DISK_FULL);
    assert_non_null(strstr(story.err.what, "needs 1020 bytes, 1019 free"));

    /* For packed weights they go, too. */
    story.profile.packs = true;
    strcpy(story.release.files[0].role, "model");
    story.profile.disk_free_bytes = 1120;
    story.profile.kept_bytes = 2 << 20;
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.packed_bytes, 1000 + 1000 / 16 + (1 << 20));
    assert_int_equal(story.plan.drop_bytes, story.plan.packed_bytes);
}

static void the_prefix_that_will_be_kept_is_counted_where_there_is_room(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    have(&story, BASE);
    story.profile.prefix_bytes = 4096;
    story.profile.disk_free_bytes = 1120 + 4096;

    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.prefix_bytes, 4096);
    assert_int_equal(story.plan.disk_bytes, 1120 + 4096);

    /* It is no reason to refuse, and comes after packed weights. */
    story.profile.disk_free_bytes--;
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.prefix_bytes, 0);
    assert_int_equal(story.plan.disk_bytes, 1120);
    story.profile.packs = true;
    strcpy(story.release.files[0].role, "model");
    story.profile.disk_free_bytes = 3 << 19;
    story.profile.prefix_bytes = 1 << 20;
    assert_int_equal(plan(&story), 0);
    assert_true(story.plan.packed_bytes > 0);
    assert_int_equal(story.plan.prefix_bytes, 0);
}

static void a_delta_larger_than_the_file_loses(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    have(&story, BASE);
    story.release.files[0].ways[2].bytes = 1001;
    story.release.files[0].ways[1].bytes = 1002;

    assert_int_equal(plan(&story), 0);

    assert_int_equal(model_way(&story), 0);
    assert_int_equal(story.plan.disk_bytes, 1020);
}

static void a_way_that_needs_more_memory_than_allowed_is_passed_over(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    have(&story, BASE);
    story.release.files[0].ways[2].memory_bytes = (32 << 20) + 1;

    assert_int_equal(plan(&story), 0);
    assert_int_equal(model_way(&story), 1);
    assert_string_equal(story.plan.reason, "a smaller way needs too much memory");

    story.input.memory_bytes_max = 64 << 20;
    assert_int_equal(plan(&story), 0);
    assert_int_equal(model_way(&story), 2);
}

static void a_codec_that_is_not_built_is_passed_over(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    have(&story, BASE);
    story.release.files[0].ways[2].codec = FLO_CODEC_ADAPTER;

    assert_int_equal(plan(&story), 0);

    assert_int_equal(model_way(&story), 1);
    assert_string_equal(story.plan.reason, "a smaller way's codec is not built here");
}

static void ways_that_failed_are_not_tried_again(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    have(&story, BASE);
    story.input.ways_failed[0] = 1u << 2 | 1u << 1;
    assert_int_equal(plan(&story), 0);
    assert_int_equal(model_way(&story), 0);

    story.input.ways_failed[0] = 7;
    assert_int_equal(plan(&story), FLO_E_BLOB_ABSENT);
}

static void a_bundle_offers_only_what_it_holds(void **state)
{
    (void)state;
    struct story story;
    struct flo_digest offered[2] = {digest_of(PATCH), digest_of(GOLDEN)};

    begin(&story);
    story.input.offered = offered;
    story.input.offered_count = 2;
    assert_int_equal(plan(&story), FLO_E_BLOB_ABSENT);

    have(&story, BASE);
    assert_int_equal(plan(&story), 0);
    assert_int_equal(model_way(&story), 2);
}

static void a_damaged_file_is_mended_and_not_fetched_again(void **state)
{
    (void)state;
    struct story story;
    struct flo_digest damaged = digest_of(MODEL);

    begin(&story);
    story.input.damaged = &damaged;
    story.input.damaged_count = 1;

    assert_int_equal(plan(&story), 0);
    assert_int_equal(model_way(&story), 0);
    assert_string_equal(story.plan.reason, "most of it is here");

    story.input.ways_failed[0] = 1u << 0;
    assert_int_equal(plan(&story), 0);
    assert_int_equal(model_way(&story), 1);
}

static void what_is_here_is_not_fetched(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    have(&story, MODEL);
    have(&story, GOLDEN);

    assert_int_equal(plan(&story), 0);

    assert_true(story.plan.steps[0].is_present);
    assert_true(story.plan.steps[1].is_present);
    assert_int_equal(story.plan.fetch_bytes, 0);
    assert_int_equal(story.plan.disk_bytes, 0);
    assert_string_equal(story.plan.reason, "everything is here");
}

static void a_device_with_llama_cpp_takes_any_architecture(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    strcpy(story.release.variants[0].engine[0], "lfm2");
    assert_int_equal(plan(&story), FLO_E_TARGET_INCOMPATIBLE);
    strcpy(story.profile.engine[0], "llama");
    assert_int_equal(plan(&story), FLO_E_TARGET_INCOMPATIBLE);
    strcpy(story.profile.engine[1], FLO_PROFILE_ENGINE_ANY);
    assert_int_equal(plan(&story), 0);
}

static void the_first_variant_that_fits_is_taken(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    story.release.variant_count = 3;
    story.release.variants[1] = story.release.variants[0];
    story.release.variants[2] = story.release.variants[0];
    strcpy(story.release.variants[0].arch[0], "aarch64");
    strcpy(story.release.variants[1].engine[0], "qwen2");
    story.release.variants[2].memory_bytes = 1 << 20;

    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.variant, 2);

    strcpy(story.profile.engine[0], "llama");
    strcpy(story.profile.engine[1], "qwen2");
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.variant, 1);

    for (int i = 0; i < 4; i++) { /* each of four is needed */
        snprintf(story.release.variants[1].engine[i], sizeof(story.release.variants[1].engine[i]),
                 "e%d", i);
        assert_int_equal(plan(&story), 0);
        assert_int_equal(story.plan.variant, 2);
        snprintf(story.profile.engine[i], sizeof(story.profile.engine[i]), "e%d", i);
    }
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.variant, 1);
}

/* q8, q5 and q4 of 1000, 600 and 400 bytes. */
static void three_sizes(struct story *story)
{
    static const char *const names[] = {"q8", "q4", "q5"};
    static const uint64_t bytes[] = {1000, 400, 600};

    begin(story);
    story->release.variant_count = 3;
    story->release.file_count = 4;
    for (uint32_t i = 0; i < 3; i++) {
        uint8_t file = i == 0 ? 0 : (uint8_t)(i + 1);
        story->release.variants[i] = story->release.variants[0];
        strcpy(story->release.variants[i].name, names[i]);
        story->release.variants[i].files[0] = file;
        story->release.files[file] = story->release.files[0];
        story->release.files[file].bytes = bytes[i];
        strcpy(story->release.files[file].role, "model");
    }
}

static void a_named_variant_is_taken_and_no_other(void **state)
{
    (void)state;
    struct story story;

    three_sizes(&story);
    story.input.variant = "q5";
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.variant, 2);
    story.release.variants[2].memory_bytes = UINT64_C(1) << 40;
    story.profile.memory_bytes = 1 << 30;
    assert_int_equal(plan(&story), FLO_E_MEMORY_BUDGET);
    story.input.variant = "q6";
    assert_int_equal(plan(&story), FLO_E_TARGET_INCOMPATIBLE);
}

static void the_next_smaller_variant_is_the_largest_that_fits(void **state)
{
    (void)state;
    struct story story;

    three_sizes(&story);
    assert_int_equal(flo_plan_smaller(&story.release, &story.profile, 0), 2);
    assert_int_equal(flo_plan_smaller(&story.release, &story.profile, 2), 1);
    assert_int_equal(flo_plan_smaller(&story.release, &story.profile, 1), -1);
    const struct flo_release_variant q4 = story.release.variants[1]; /* in any order */
    story.release.variants[1] = story.release.variants[2];
    story.release.variants[2] = q4;
    assert_int_equal(flo_plan_smaller(&story.release, &story.profile, 0), 1);
    story.release.variants[2] = story.release.variants[1];
    story.release.variants[1] = q4;
    strcpy(story.release.variants[2].arch[0], "riscv64");
    assert_int_equal(flo_plan_smaller(&story.release, &story.profile, 0), 1);
    strcpy(story.release.files[2].role, "adapter");
    assert_int_equal(flo_plan_smaller(&story.release, &story.profile, 0), -1);
}

static void a_runtimes_variant_has_no_smaller_one(void **state)
{
    (void)state;
    struct story story;

    three_sizes(&story);
    strcpy(story.release.variants[0].runtime, "llamacpp");
    assert_int_equal(flo_plan_smaller(&story.release, &story.profile, 0), -1);
    three_sizes(&story);
    strcpy(story.release.variants[2].runtime, "llamacpp");
    strcpy(story.profile.runtimes[0], "llamacpp");
    assert_int_equal(flo_plan_smaller(&story.release, &story.profile, 0), 1);
}

static void the_memory_of_a_variant_is_told_or_its_files(void **state)
{
    (void)state;
    struct story story;

    three_sizes(&story);
    assert_int_equal(flo_plan_memory_bytes(&story.release, 1), 400 + story.release.files[1].bytes);
    story.release.variants[1].memory_bytes = 5000;
    assert_int_equal(flo_plan_memory_bytes(&story.release, 1), 5000);
    story.release.variants[1].memory_bytes = 5; /* less than its files */
    assert_int_equal(flo_plan_memory_bytes(&story.release, 1), 400 + story.release.files[1].bytes);
}

static void a_variant_is_chosen_by_runtime_accelerator_and_measured_speed(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    story.release.variant_count = 4;
    for (uint32_t i = 1; i < 4; i++) {
        story.release.variants[i] = story.release.variants[0];
    }
    strcpy(story.release.variants[0].name, "gpu");
    strcpy(story.release.variants[0].runtime, "llamacpp");
    strcpy(story.release.variants[0].accelerator[0], "vulkan");
    strcpy(story.release.variants[1].name, "q8");
    story.release.variants[1].bytes_per_token = 1000000;
    story.release.variants[1].rate_mtps = 4000;
    strcpy(story.release.variants[2].name, "fat");
    story.release.variants[2].disk_bytes = 1 << 21;

    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.variant, 3); /* nothing was measured */
    assert_string_equal(story.plan.chosen,
                        "gpu needs runtime llamacpp, accelerator vulkan; q8 needs 4000 tokens per "
                        "1000 s, memory gives an unknown number; fat needs 2097152 bytes of disk, "
                        "1048576 are free");

    story.profile.memory_bytes_per_s = 3999999;
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.variant, 3);
    story.profile.memory_bytes_per_s = 4000000;
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.variant, 1);
    assert_string_equal(story.plan.chosen, "gpu needs runtime llamacpp, accelerator vulkan");

    strcpy(story.profile.runtimes[1], "llamacpp");
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.variant, 1);
    assert_string_equal(story.plan.chosen, "gpu needs accelerator vulkan");
    strcpy(story.profile.accelerators[3], "vulkan");
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.variant, 0);
    assert_string_equal(story.plan.chosen, "the first variant");
}

static void a_variant_without_room_gives_way_to_the_next(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    story.release.variant_count = 2;
    story.release.variants[1] = story.release.variants[0];
    story.release.variants[1].file_count = 1;
    story.release.variants[1].files[0] = 1;
    story.profile.disk_free_bytes = 500;

    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.variant, 1);
    assert_non_null(strstr(story.plan.chosen, "no room on the disk"));
    story.profile.disk_free_bytes = 10;
    assert_int_equal(plan(&story), FLO_E_DISK_FULL);
    assert_non_null(strstr(story.err.what, "1020"));
}

static void the_last_variant_is_taken_though_nothing_was_measured(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    story.release.variants[0].bytes_per_token = UINT64_C(1) << 44;
    story.release.variants[0].rate_mtps = UINT64_C(1) << 32;
    assert_int_equal(plan(&story), 0);
    story.profile.memory_bytes_per_s = INT64_MAX;
    assert_int_equal(plan(&story), FLO_E_TARGET_INCOMPATIBLE);
}

static void a_device_that_no_variant_fits_is_told_so(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    strcpy(story.release.variants[0].arch[0], "riscv64");

    assert_int_equal(plan(&story), FLO_E_TARGET_INCOMPATIBLE);

    assert_string_equal(story.err.what, "tiny@2.1.0: none of its 1 variant fits arch x86_64, "
                                        "engine llama");
}

static void a_model_that_memory_cannot_hold_is_refused_with_numbers(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    story.release.variants[0].memory_bytes = 2 << 20;

    assert_int_equal(plan(&story), FLO_E_MEMORY_BUDGET);

    assert_string_equal(story.err.what, "tiny@2.1.0 needs 2097152 bytes of memory (variant "
                                        "q4_0), the device gives 1048576");
    story.profile.memory_bytes = 0; /* not known: not checked */
    assert_int_equal(plan(&story), 0);
}

static void the_variant_that_needs_least_memory_is_named(void **state)
{
    (void)state;
    struct story story;

    three_sizes(&story);
    for (uint32_t i = 0; i < 3; i++) {
        story.release.variants[i].memory_bytes = UINT64_C(9000000) - 1000 * i;
    }
    story.release.variants[2].memory_bytes = 9500000;
    assert_int_equal(plan(&story), FLO_E_MEMORY_BUDGET);
    assert_non_null(strstr(story.err.what, "8999000 bytes of memory (variant q4)"));
    story.release.variants[1].disk_bytes = 2 << 20;
    story.release.variants[1].memory_bytes = 0;
    assert_int_equal(plan(&story), FLO_E_MEMORY_BUDGET);
    assert_non_null(strstr(story.err.what, "9000000 bytes of memory (variant q8)"));
    assert_int_equal(flo_plan_make(&story.input, &story.plan, NULL), FLO_E_MEMORY_BUDGET);
}

static void a_variant_that_tells_of_its_disk_is_refused_before_it_is_planned(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    story.release.variants[0].disk_bytes = 2 << 20;
    assert_int_equal(plan(&story), FLO_E_DISK_FULL);
    assert_string_equal(story.err.what, "tiny@2.1.0 needs 2097152 bytes of disk (variant q4_0), "
                                        "1048576 free");
}

static void a_refusal_lists_eight_engines_or_their_number_and_the_missing_one(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    for (size_t i = 0; i < 8; i++) {
        snprintf(story.profile.engine[i], sizeof(story.profile.engine[i]), "e%zu", i);
    }
    strcpy(story.release.variants[0].engine[0], "other");
    assert_int_equal(plan(&story), FLO_E_TARGET_INCOMPATIBLE);
    assert_non_null(strstr(story.err.what, "engine e0 e1 e2 e3 e4 e5 e6 e7"));
    assert_null(strstr(story.err.what, ": q4_0 needs"));

    strcpy(story.profile.engine[8], "e8");
    assert_int_equal(plan(&story), FLO_E_TARGET_INCOMPATIBLE);
    assert_non_null(strstr(story.err.what, "engine of 9 architectures: q4_0 needs engine other"));

    strcpy(story.release.variants[0].accelerator[0], "cuda");
    assert_int_equal(plan(&story), FLO_E_TARGET_INCOMPATIBLE);
    assert_non_null(strstr(story.err.what, ": q4_0 needs engine other, accelerator cuda"));
}

static void each_accelerator_of_a_variant_must_be_there(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    for (size_t i = 0; i < 4; i++) {
        snprintf(story.release.variants[0].accelerator[i],
                 sizeof(story.release.variants[0].accelerator[i]), "a%zu", i);
        assert_int_equal(plan(&story), FLO_E_TARGET_INCOMPATIBLE);
        snprintf(story.profile.accelerators[3 - i], sizeof(story.profile.accelerators[3 - i]),
                 "a%zu", i);
        assert_int_equal(plan(&story), 0);
    }
}

static void speed_is_no_matter_where_one_of_both_numbers_is_not_told(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    story.profile.memory_bytes_per_s = 1;
    story.release.variants[0].rate_mtps = UINT64_C(1) << 60;
    assert_int_equal(plan(&story), 0);
    story.release.variants[0].bytes_per_token = 1;
    assert_int_equal(plan(&story), FLO_E_TARGET_INCOMPATIBLE);
    story.profile.memory_bytes_per_s = UINT64_MAX; /* beyond 64 bits: as fast as can be */
    assert_int_equal(plan(&story), 0);
}

static void a_bundle_without_the_smallest_way_says_so(void **state)
{
    (void)state;
    struct story story;
    struct flo_digest offered[2];

    begin(&story);
    have(&story, BASE);
    offered[0] = digest_of(MODEL);
    offered[1] = digest_of(GOLDEN);
    story.input.offered = offered;
    story.input.offered_count = 2;
    assert_int_equal(plan(&story), 0);
    assert_int_equal(model_way(&story), 0);
    assert_string_equal(story.plan.reason, "smallest way on offer");
}

static void files_beyond_64_bits_take_all_memory(void **state)
{
    (void)state;
    struct story story;

    three_sizes(&story);
    story.release.files[0].bytes = UINT64_MAX;
    assert_true(flo_plan_memory_bytes(&story.release, 0) == UINT64_MAX);
    story.release.files[0].role[0] = '\0'; /* no model: nothing is smaller */
    assert_int_equal(flo_plan_smaller(&story.release, &story.profile, 0), -1);
}

static void a_full_disk_is_refused_with_numbers(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    have(&story, BASE);
    story.profile.disk_free_bytes = 1120;
    assert_int_equal(plan(&story), 0);

    story.profile.disk_free_bytes = 1019;
    assert_int_equal(plan(&story), FLO_E_DISK_FULL);
    assert_string_equal(story.err.what, "tiny@2.1.0 needs 1020 bytes, 1019 free");
}

/* A patch lies on the disk next to the file that it makes; the file itself
 * grows where it stays. */
static void where_a_smaller_way_has_no_room_the_file_itself_is_taken(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    have(&story, BASE);
    story.profile.disk_free_bytes = 1119;

    assert_int_equal(plan(&story), 0);

    assert_int_equal(model_way(&story), 0);
    assert_int_equal(story.plan.codec, FLO_CODEC_RAW);
    assert_int_equal(story.plan.fetch_bytes, 1020);
    assert_int_equal(story.plan.disk_bytes, 1020);
    assert_string_equal(story.plan.reason, "no room for a smaller way");

    /* Where it cannot be had, the least of the others is said. */
    story.input.ways_failed[0] = 1u << 0;
    assert_int_equal(plan(&story), FLO_E_DISK_FULL);
    assert_string_equal(story.err.what, "tiny@2.1.0 needs 1120 bytes, 1119 free");
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    story.profile.disk_free_bytes = UINT64_MAX;
    story.release.files[0].bytes = UINT64_MAX;

    assert_int_equal(plan(&story), FLO_E_META_SCHEMA);

    begin(&story); /* what is fetched, where the file itself is small */
    story.profile.disk_free_bytes = UINT64_MAX;
    story.input.ways_failed[0] = 1u << 0;
    story.release.files[0].ways[1].bytes = UINT64_MAX;
    assert_int_equal(plan(&story), FLO_E_META_SCHEMA);

    story.release.files[0].ways[1].bytes = UINT64_MAX - 20; /* and next to what it makes */
    assert_int_equal(plan(&story), FLO_E_DISK_FULL);
}

static void packed_weights_that_no_disk_can_hold_are_not_counted(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    strcpy(story.release.files[0].role, "model");
    story.profile.packs = true;
    story.profile.disk_free_bytes = UINT64_MAX;
    story.release.files[0].bytes = UINT64_MAX - 2000; /* with the sixteenth more: too many */
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.packed_bytes, 0);

    story.release.files[0].bytes = UINT64_MAX / 17 * 16 - (2 << 20); /* not next to the model */
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.packed_bytes, 0);

    story.release.files[0].bytes = 1000; /* another runtime packs by itself */
    strcpy(story.release.variants[0].runtime, "llamacpp");
    strcpy(story.profile.runtimes[0], "llamacpp");
    assert_int_equal(plan(&story), 0);
    assert_int_equal(story.plan.packed_bytes, 0);
}

static void whoever_asks_for_no_reason_gets_the_code_alone(void **state)
{
    (void)state;
    struct story story;

    begin(&story);
    story.profile.disk_free_bytes = 1;
    assert_int_equal(flo_plan_make(&story.input, &story.plan, NULL), FLO_E_DISK_FULL);
}

static int read_profile(const json_t *json, struct flo_err *err)
{
    struct flo_profile profile = {.arch = ""};

    return flo_profile_parse(json, &profile, err);
}

static void each_damaged_value_of_a_profile_is_refused(void **state)
{
    static const char text[] =
        "{\"arch\":\"aarch64\",\"memory_bytes\":8,\"packs\":true,\"prefix_bytes\":3,"
        "\"engine\":[\"llama\",\"qwen2\"],\"runtimes\":[{\"name\":\"onnx\",\"state\":\"ready\"},"
        "{\"name\":\"npu\",\"state\":\"absent\"}],\"accelerators\":[{\"kind\":\"npu\"}],"
        "\"bench\":{\"memory_bytes_per_s\":1000}}";
    struct flo_profile profile = {.arch = ""};
    json_t *json = json_loads(text, 0, NULL);
    (void)state;

    assert_true(damage_all(text, read_profile, "state") > 100);
    assert_int_equal(flo_profile_parse(json, &profile, NULL), 0);
    assert_string_equal(profile.runtimes[0], "onnx");
    assert_string_equal(profile.runtimes[1], ""); /* one that is not ready is none */
    assert_string_equal(profile.engine[1], "qwen2");
    assert_int_equal(profile.memory_bytes_per_s, 1000);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_damaged_value_of_a_profile_is_refused),
        cmocka_unit_test(a_delta_whose_base_is_here_is_the_smallest_way),
        cmocka_unit_test(without_the_base_the_compressed_file_is_taken),
        cmocka_unit_test(packed_weights_are_counted_where_there_is_room),
        cmocka_unit_test(kept_prefixes_give_way),
        cmocka_unit_test(the_prefix_that_will_be_kept_is_counted_where_there_is_room),
        cmocka_unit_test(a_delta_larger_than_the_file_loses),
        cmocka_unit_test(a_way_that_needs_more_memory_than_allowed_is_passed_over),
        cmocka_unit_test(a_codec_that_is_not_built_is_passed_over),
        cmocka_unit_test(ways_that_failed_are_not_tried_again),
        cmocka_unit_test(a_bundle_offers_only_what_it_holds),
        cmocka_unit_test(a_damaged_file_is_mended_and_not_fetched_again),
        cmocka_unit_test(what_is_here_is_not_fetched),
        cmocka_unit_test(a_device_with_llama_cpp_takes_any_architecture),
        cmocka_unit_test(the_first_variant_that_fits_is_taken),
        cmocka_unit_test(a_named_variant_is_taken_and_no_other),
        cmocka_unit_test(the_next_smaller_variant_is_the_largest_that_fits),
        cmocka_unit_test(a_runtimes_variant_has_no_smaller_one),
        cmocka_unit_test(the_memory_of_a_variant_is_told_or_its_files),
        cmocka_unit_test(a_variant_is_chosen_by_runtime_accelerator_and_measured_speed),
        cmocka_unit_test(a_variant_without_room_gives_way_to_the_next),
        cmocka_unit_test(the_last_variant_is_taken_though_nothing_was_measured),
        cmocka_unit_test(a_device_that_no_variant_fits_is_told_so),
        cmocka_unit_test(a_model_that_memory_cannot_hold_is_refused_with_numbers),
        cmocka_unit_test(the_variant_that_needs_least_memory_is_named),
        cmocka_unit_test(a_variant_that_tells_of_its_disk_is_refused_before_it_is_planned),
        cmocka_unit_test(a_refusal_lists_eight_engines_or_their_number_and_the_missing_one),
        cmocka_unit_test(each_accelerator_of_a_variant_must_be_there),
        cmocka_unit_test(speed_is_no_matter_where_one_of_both_numbers_is_not_told),
        cmocka_unit_test(a_bundle_without_the_smallest_way_says_so),
        cmocka_unit_test(files_beyond_64_bits_take_all_memory),
        cmocka_unit_test(a_full_disk_is_refused_with_numbers),
        cmocka_unit_test(where_a_smaller_way_has_no_room_the_file_itself_is_taken),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(packed_weights_that_no_disk_can_hold_are_not_counted),
        cmocka_unit_test(whoever_asks_for_no_reason_gets_the_code_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
