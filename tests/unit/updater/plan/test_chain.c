/* Chains: which patches one after the other, and when none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "updater/plan/chain.h"

/* model.gguf is V4; V3, V2 and V1 are older versions of it, all of 1000 bytes.
 * V4 has ways raw (1000), zstd (900) and from V3 (100); the steps V3 from V2
 * (150) and V2 from V1 (200). */
enum { V1 = 1, V2, V3, V4, ZSTD = 40, FROM = 50 };

struct story {
    struct flo_release release;
    struct flo_profile profile;
    struct flo_digest present[4];
    struct flo_plan_input input;
    struct flo_plan plan;
};

static struct flo_digest digest_of(unsigned n)
{
    struct flo_digest digest;

    memset(digest.bytes, (int)n, sizeof(digest.bytes));
    return digest;
}

static void add_way(struct flo_release_file *file, unsigned base, uint64_t bytes)
{
    static unsigned next = FROM;

    file->ways[file->way_count++] =
        (struct flo_way){.codec = base == 0 ? FLO_CODEC_RAW : FLO_CODEC_TENSOR1,
                         .digest = base == 0 ? file->digest : digest_of(next++ % 200 + FROM),
                         .bytes = bytes,
                         .base = base == 0 ? (struct flo_digest){{0}} : digest_of(base),
                         .memory_bytes = base == 0 ? 0 : 8 << 20};
}

static struct flo_release_file *add_file(struct story *story, const char *role, unsigned version)
{
    struct flo_release_file *file = &story->release.files[story->release.file_count++];

    snprintf(file->name, sizeof(file->name), "v%u.gguf", version);
    strcpy(file->role, role);
    file->digest = digest_of(version);
    file->bytes = 1000;
    return file;
}

static void begin(struct story *story)
{
    memset(story, 0, sizeof(*story));
    strcpy(story->release.model, "tiny");
    strcpy(story->release.version, "4");
    story->release.variant_count = 1;
    strcpy(story->release.variants[0].name, "q4_0");
    story->release.variants[0].file_count = 1;
    struct flo_release_file *model = add_file(story, "model", V4);
    add_way(model, 0, 1000);
    model->ways[model->way_count++] =
        (struct flo_way){.codec = FLO_CODEC_ZSTD, .digest = digest_of(ZSTD), .bytes = 900};
    add_way(model, V3, 100);
    add_way(add_file(story, "step", V3), V2, 150);
    add_way(add_file(story, "step", V2), V1, 200);
    strcpy(story->profile.arch, "x86_64");
    story->profile.disk_free_bytes = 1 << 20;
    story->input.release = &story->release;
    story->input.profile = &story->profile;
    story->input.present = story->present;
}

static void have(struct story *story, unsigned version)
{
    story->present[story->input.present_count++] = digest_of(version);
}

/* "2:0 1:0 0:2": files and their ways in the order in which they are made. */
static const char *steps(struct story *story)
{
    static char text[128];
    size_t used = 0;

    text[0] = '\0';
    memset(&story->plan, 0, sizeof(story->plan));
    assert_int_equal(flo_plan_make(&story->input, &story->plan, NULL), 0);
    for (uint32_t i = 0; i < story->plan.step_count; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u:%u", i == 0 ? "" : " ",
                                 story->plan.steps[i].file, story->plan.steps[i].way);
    }
    return text;
}

static void a_device_far_behind_goes_by_every_version(void **state)
{
    struct story story;

    (void)state;
    begin(&story);
    have(&story, V1);
    assert_string_equal(steps(&story), "2:0 1:0 0:2");
    assert_int_equal(story.plan.fetch_bytes, 450);
    assert_int_equal(story.plan.full_bytes, 1000);
    assert_int_equal(story.plan.disk_bytes, 3000 + 200);
    assert_int_equal(story.plan.codec, FLO_CODEC_TENSOR1);
    assert_string_equal(story.plan.reason, "a chain of 3 deltas");
}

static void a_version_between_needs_fewer(void **state)
{
    struct story story;

    (void)state;
    begin(&story);
    have(&story, V2);
    assert_string_equal(steps(&story), "1:0 0:2");
    assert_int_equal(story.plan.fetch_bytes, 250);
    assert_string_equal(story.plan.reason, "a chain of 2 deltas");
    have(&story, V3);
    assert_string_equal(steps(&story), "0:2");
    assert_string_equal(story.plan.reason, "smallest way");
}

static void without_an_old_version_there_is_no_chain(void **state)
{
    struct story story;

    (void)state;
    begin(&story);
    assert_string_equal(steps(&story), "0:1");
}

static void a_chain_that_is_longer_than_another_way_loses(void **state)
{
    struct story story;

    (void)state;
    begin(&story);
    have(&story, V1);
    story.release.files[2].ways[0].bytes = 650; /* as long as the file in zstd */
    assert_string_equal(steps(&story), "0:1");
    story.release.files[2].ways[0].bytes = 649;
    assert_string_equal(steps(&story), "2:0 1:0 0:2");
    add_way(&story.release.files[0], V1, 300); /* directly */
    assert_string_equal(steps(&story), "0:3");
}

static void of_two_chains_the_shorter_one_is_taken(void **state)
{
    struct story story;

    (void)state;
    begin(&story);
    have(&story, V1);
    add_way(&story.release.files[1], V1, 350); /* as many bytes, fewer steps */
    assert_string_equal(steps(&story), "1:1 0:2");
    story.release.files[1].ways[1].bytes = 351;
    assert_string_equal(steps(&story), "2:0 1:0 0:2");
}

static void a_step_that_failed_takes_its_chains_with_it(void **state)
{
    struct story story;

    (void)state;
    begin(&story);
    have(&story, V1);
    story.input.ways_failed[2] = 1;
    assert_string_equal(steps(&story), "0:1");
}

static void what_cannot_be_decoded_or_fetched_is_in_no_chain(void **state)
{
    struct flo_digest offered[3];
    struct story story;

    (void)state;
    begin(&story);
    have(&story, V1);
    story.release.files[1].ways[0].memory_bytes = 1 << 30;
    assert_string_equal(steps(&story), "0:1");
    begin(&story);
    have(&story, V1);
    offered[0] = story.release.files[0].ways[1].digest;
    offered[1] = story.release.files[0].ways[2].digest;
    offered[2] = story.release.files[1].ways[0].digest;
    story.input.offered = offered;
    story.input.offered_count = 3;
    assert_string_equal(steps(&story), "0:1");
}

static void where_the_disk_is_short_there_is_no_chain(void **state)
{
    struct story story;

    (void)state;
    begin(&story);
    have(&story, V1);
    story.profile.disk_free_bytes = 1500;
    assert_string_equal(steps(&story), "0:0");
}

static void steps_in_a_circle_lead_nowhere(void **state)
{
    struct story story;

    (void)state;
    begin(&story);
    story.release.files[2].ways[0].base = digest_of(V3);
    assert_string_equal(steps(&story), "0:1");
    story.release.files[1].ways[0].base = digest_of(V4);
    assert_string_equal(steps(&story), "0:1");
}

static void more_steps_than_two_are_not_taken(void **state)
{
    struct story story;

    (void)state;
    begin(&story);
    add_way(add_file(&story, "step", V1), 9, 10);
    have(&story, 9);
    assert_string_equal(steps(&story), "0:1");
}

static void a_step_that_two_files_need_is_made_once_and_first(void **state)
{
    struct story story;

    (void)state;
    begin(&story);
    struct flo_release_file *other = add_file(&story, "model", 8);
    other->bytes = 500; /* it is made before the larger one */
    add_way(other, V3, 50);
    story.release.variants[0].files[1] = 3;
    story.release.variants[0].file_count = 2;
    have(&story, V2);
    assert_string_equal(steps(&story), "1:0 3:0 0:2");
    assert_int_equal(story.plan.fetch_bytes, 150 + 50 + 100);
}

static void a_model_of_another_variant_is_no_step(void **state)
{
    struct story story;

    (void)state;
    begin(&story);
    have(&story, V1);
    strcpy(story.release.files[1].role, "model");
    assert_string_equal(steps(&story), "0:1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_far_behind_goes_by_every_version),
        cmocka_unit_test(a_version_between_needs_fewer),
        cmocka_unit_test(without_an_old_version_there_is_no_chain),
        cmocka_unit_test(a_chain_that_is_longer_than_another_way_loses),
        cmocka_unit_test(of_two_chains_the_shorter_one_is_taken),
        cmocka_unit_test(a_step_that_failed_takes_its_chains_with_it),
        cmocka_unit_test(what_cannot_be_decoded_or_fetched_is_in_no_chain),
        cmocka_unit_test(where_the_disk_is_short_there_is_no_chain),
        cmocka_unit_test(steps_in_a_circle_lead_nowhere),
        cmocka_unit_test(more_steps_than_two_are_not_taken),
        cmocka_unit_test(a_step_that_two_files_need_is_made_once_and_first),
        cmocka_unit_test(a_model_of_another_variant_is_no_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
