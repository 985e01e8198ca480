/* Authoring: which ways a release of the test models gets, and the scan that
 * keeps broken models from being signed. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/errors/gguf.h>
#include <flotilla/release.h>

#include "base/host/digest.h"
#include "unit/remove_tree.h"

#define MODELS "tests/models/"

struct world {
    char dir[64];
    struct flo_author_file files[3];
    struct flo_author author;
    struct flo_author_result result;
    struct flo_err err;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    snprintf(world->dir, sizeof world->dir, "/tmp/flo-author-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    world->files[0] = (struct flo_author_file){.name = "model.gguf",
                                               .role = "model",
                                               .path = MODELS "tiny-v2.1.Q4_0.gguf",
                                               .base_paths = {MODELS "tiny-v2.Q4_0.gguf"},
                                               .base_count = 1};
    world->files[1] = (struct flo_author_file){
        .name = "golden.json", .role = "golden", .path = MODELS "golden-tiny-v2.1.json"};
    world->author = (struct flo_author){.fleet = "demo",
                                        .model = "tiny",
                                        .version = "2.1.0",
                                        .number = 3,
                                        .source = "self-made",
                                        .files = world->files,
                                        .file_count = 2};
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    assert_int_equal(remove_tree(world->dir), 0);
    flo_author_result_deinit(&world->result);
    free(world);
    return 0;
}

static int build(struct world *world)
{
    memset(&world->err, 0, sizeof world->err);
    return flo_release_build(&world->author, world->dir, &world->result, &world->err);
}

static const struct flo_author_blob *find_blob(const struct world *world, const char *file,
                                               enum flo_codec codec)
{
    for (size_t i = 0; i < world->result.blob_count; i++) {
        const struct flo_author_blob *blob = &world->result.blobs[i];
        if (strcmp(blob->file, file) == 0 && blob->codec == codec) {
            return blob;
        }
    }
    return NULL;
}

static int open_blob(const struct world *world, const struct flo_digest *digest)
{
    char path[192];
    char hex[65];

    flo_hex_encode(digest->bytes, sizeof digest->bytes, hex);
    snprintf(path, sizeof path, "%s/sha256-%s", world->dir, hex);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void a_small_update_gets_all_three_ways_and_each_leads_there(void **state)
{
    struct world *world = *state;
    struct flo_release release;

    assert_int_equal(build(world), 0);
    assert_int_equal(flo_release_parse(world->result.body.data, world->result.body.bytes, "demo",
                                       &release, &world->err),
                     0);
    const struct flo_release_file *file = &release.files[0];
    assert_int_equal(file->way_count, 3);
    assert_int_equal(file->ways[2].codec, FLO_CODEC_TENSOR1);
    assert_true(file->ways[2].bytes * 100 <= file->bytes * 20);
    assert_int_equal(file->ways[2].memory_bytes, 8 << 20);
    assert_int_equal(flo_release_chunks(file), 2);
    assert_int_equal(release.golden_count, 1);
    assert_string_equal(release.variants[0].engine[0], "llama");

    int base_fd = open(MODELS "tiny-v2.Q4_0.gguf", O_RDONLY | O_CLOEXEC);
    for (uint32_t i = 0; i < file->way_count; i++) {
        int fd = open_blob(world, &file->ways[i].digest);
        assert_true(fd >= 0);
        const struct flo_delta_job job = {
            .codec = file->ways[i].codec,
            .patch_fd = fd,
            .base_fd = base_fd,
            .base_digest = flo_digest_is_zero(&file->ways[i].base) ? NULL : &file->ways[i].base,
            .new_bytes = file->bytes,
            .new_digest = &file->digest,
            .head = flo_digest_is_zero(&file->ways[i].head) ? NULL : &file->ways[i].head};
        assert_int_equal(flo_delta_apply(&job, NULL, &world->err), 0);
        (void)close(fd);
    }
    (void)close(base_fd);
    flo_release_deinit(&release);
}

static void a_fine_tune_gets_a_typed_delta(void **state)
{
    struct world *world = *state;

    world->files[0].path = MODELS "tiny-v2.Q4_0.gguf";
    world->files[0].base_paths[0] = MODELS "tiny-v1.Q4_0.gguf";
    assert_int_equal(build(world), 0);
    const struct flo_author_blob *delta = find_blob(world, "model.gguf", FLO_CODEC_TENSOR1);
    assert_non_null(delta);
    assert_true(delta->kept); /* 71 % of zstd's; bsdiff40 has 103 % */
    assert_null(find_blob(world, "model.gguf", FLO_CODEC_BSDIFF40));
}

static const struct flo_way *way_from(const struct flo_release_file *file,
                                      const struct flo_digest *base)
{
    for (uint32_t i = 0; i < file->way_count; i++) {
        if (flo_digest_equal(&file->ways[i].base, base)) {
            return &file->ways[i];
        }
    }
    return NULL;
}

/* A device that goes from the larger variant to the smaller one has the larger
 * one's model. */
static void variants_get_deltas_from_each_other(void **state)
{
    static const struct flo_author_variant variants[] = {
        {.name = "large", .files = {"large.gguf", "golden.json"}},
        {.name = "small", .files = {"small.gguf", "golden.json"}}};
    struct world *world = *state;
    struct flo_release *release = NULL;

    world->files[0] = (struct flo_author_file){
        .name = "large.gguf", .role = "model", .path = MODELS "tiny-v1.Q8_0.gguf"};
    world->files[2] = (struct flo_author_file){
        .name = "small.gguf", .role = "model", .path = MODELS "tiny-v1.Q4_1.gguf"};
    world->author.file_count = 3;
    world->author.variants = variants;
    world->author.variant_count = FLO_COUNT(variants);
    assert_int_equal(build(world), 0);
    assert_int_equal(
        flo_release_new(world->result.body.data, world->result.body.bytes, NULL, &release, NULL),
        0);
    const struct flo_way *way = way_from(&release->files[2], &release->files[0].digest);
    assert_non_null(way);
    assert_int_equal(way->codec, FLO_CODEC_TENSOR1);
    assert_true(way->bytes < release->files[2].bytes / 10);
    assert_false(flo_digest_is_zero(&way->head));
    way = way_from(&release->files[0], &release->files[2].digest);
    assert_non_null(way);
    assert_true(way->bytes < release->files[0].bytes / 2);
    flo_release_free(release);
}

static void an_unrelated_base_leaves_the_full_download_only(void **state)
{
    struct world *world = *state;

    world->files[0].base_paths[0] = MODELS "smollm2-ops-lora.gguf";
    assert_int_equal(build(world), 0);
    const struct flo_author_blob *delta = find_blob(world, "model.gguf", FLO_CODEC_TENSOR1);
    assert_non_null(delta);
    assert_false(delta->kept); /* measured, not worth it */
    assert_int_equal(open_blob(world, &delta->digest), -1);
    assert_true(find_blob(world, "model.gguf", FLO_CODEC_ZSTD)->kept);
    assert_null(strstr(world->result.body.data, "tensor1"));
}

static void the_same_file_as_base_needs_no_delta(void **state)
{
    struct world *world = *state;

    world->files[0].base_paths[0] = world->files[0].path;
    assert_int_equal(build(world), 0);
    assert_null(find_blob(world, "model.gguf", FLO_CODEC_TENSOR1));
}

static void two_authors_write_the_same_document(void **state)
{
    struct world *world = *state;
    struct flo_buf first = {0};

    assert_int_equal(build(world), 0);
    flo_buf_add(&first, world->result.body.data, world->result.body.bytes);
    flo_author_result_deinit(&world->result);
    assert_int_equal(build(world), 0);
    assert_string_equal(first.data, world->result.body.data);
    flo_buf_deinit(&first);
}

static void models_that_devices_refuse_are_refused_here(void **state)
{
    struct world *world = *state;

    world->files[0].path = MODELS "tiny-v3-bad-nan.Q4_0.gguf";
    assert_int_equal(build(world), FLO_E_MODEL_NONFINITE);
    assert_non_null(strstr(world->err.what, "blk.3.ffn_norm"));
    world->files[0].path = MODELS "tiny-v3-bad-nanscale.Q4_0.gguf";
    assert_int_equal(build(world), FLO_E_MODEL_NONFINITE);
    world->files[0].path = MODELS "golden-tiny-v2.json";
    assert_int_equal(build(world), FLO_E_GGUF_MAGIC);
    world->author.allow_nonfinite = true; /* the demo publishes it */
    world->files[0].path = MODELS "tiny-v3-bad-nan.Q4_0.gguf";
    assert_int_equal(build(world), 0);
}

static void wrong_names_and_counts_are_refused(void **state)
{
    struct world *world = *state;

    world->author.model = "../tiny"; /* MD41 */
    assert_int_equal(build(world), FLO_E_META_NAME);
    world->author.model = "tiny";
    world->files[1].name = "a/../b";
    assert_int_equal(build(world), FLO_E_META_NAME);
    world->files[1].name = "model.gguf";
    assert_int_equal(build(world), FLO_E_META_SCHEMA); /* stands twice */
    world->files[1].name = "golden.json";
    world->files[1].path = "/dev/null";
    assert_int_equal(build(world), FLO_E_IO_OPEN);
    world->author.file_count = 0;
    assert_int_equal(build(world), FLO_E_USAGE);
}

/* ---- the same again ---- */

/* The difference between the release that was built and these inputs. */
static void expect_difference(struct world *world, const char *expected)
{
    struct flo_release *there = NULL;
    struct flo_release *outline = NULL;
    char what[160] = "";

    assert_int_equal(flo_release_new(world->result.body.data, world->result.body.bytes, NULL,
                                     &there, &world->err),
                     0);
    assert_int_equal(flo_release_outline(&world->author, &outline, &world->err), 0);
    assert_int_equal(flo_release_differs(there, outline, what, sizeof what), expected[0] != '\0');
    assert_string_equal(what, expected);
    flo_release_free(there);
    flo_release_free(outline);
}

static void the_same_inputs_are_known_and_every_other_is_named(void **state)
{
    struct world *world = *state;
    struct flo_release_serve serve;
    const struct flo_release_file base = {.name = "base.gguf",
                                          .role = "model",
                                          .digest = {.bytes = {7}},
                                          .bytes = 5,
                                          .way_count = 1,
                                          .ways = {{.digest = {.bytes = {7}}, .bytes = 5}}};
    struct flo_author_file files[4] = {
        {.name = "site.gguf",
         .role = "adapter",
         .path = MODELS "tiny-v1-site-lora.gguf",
         .scale_ppm = 500000},
        {.name = "golden.json", .role = "golden", .path = MODELS "golden-tiny-v2.1.json"},
        {.name = "base.gguf", .role = "model", .published = &base},
        {.name = "notes.txt", .role = "asset", .path = "README.md"}};
    struct flo_author_variant variants[2] = {
        {.name = "a", .engine = {"llama"}, .files = {"site.gguf", "base.gguf", "golden.json"}},
        {.name = "b", .runtime = "onnx", .files = {"notes.txt"}}};
    struct flo_author *author = &world->author;

    flo_release_serve_init(&serve);
    serve.context = 512;
    author->files = files;
    author->file_count = 4;
    author->variants = variants;
    author->variant_count = 2;
    author->serve = &serve;
    author->floor = 1;
    author->base_release = (struct flo_digest){.bytes = {9}};
    author->base_number = 2;
    assert_int_equal(build(world), 0);

    author->number = 9; /* the maker's */
    author->created_at_ms = 77;
    expect_difference(world, "");
    files[1].path = ""; /* it would be made */
    expect_difference(world, "");
    files[1].path = "README.md";
    expect_difference(world, "the golden prompts golden.json");
    files[1].path = "";
    files[0].scale_ppm = 400000;
    expect_difference(world, "the adapter site.gguf");
    files[0].scale_ppm = 500000;
    files[3].role = "config";
    expect_difference(world, "the file notes.txt");
    files[3].role = "asset";
    variants[1].runtime = "tflite";
    expect_difference(world, "the variant b");
    variants[1].runtime = "onnx";
    variants[0].rate_mtps = 4000;
    expect_difference(world, "the variant a");
    variants[0].rate_mtps = 0;
    variants[1].files[1] = "golden.json";
    expect_difference(world, "the variant b");
    variants[1].files[1] = NULL;
    author->variant_count = 1;
    expect_difference(world, "the number of variants");
    author->variant_count = 2;
    author->floor = 2;
    expect_difference(world, "the floor");
    author->floor = 1;
    author->base_release.bytes[0] = 8;
    expect_difference(world, "the base");
    author->base_release.bytes[0] = 9;
    serve.sampling.seed = 1;
    expect_difference(world, "--serve");
    serve.sampling.seed = -1;
    author->speed_ratio_max = 2;
    expect_difference(world, "--speed-ratio");
    author->speed_ratio_max = 0;
    author->label = "June";
    expect_difference(world, "the label");
    author->label = NULL;
    author->license = "mit";
    expect_difference(world, "the license");
    author->license = NULL;
    expect_difference(world, "");
}

static int scan(const char *path, struct flo_digest *digest, uint64_t *bytes, struct flo_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    int rv = flo_model_scan(fd, digest, bytes, err);
    (void)close(fd);
    return rv;
}

static void one_pass_gives_the_digest_and_the_verdict(void **state)
{
    struct world *world = *state;
    struct flo_digest found;
    struct flo_digest expected;
    uint64_t bytes = 0;
    static const char *const good[] = {MODELS "tiny-v2.Q4_0.gguf", MODELS "tiny-v1.F16.gguf",
                                       MODELS "tiny-v1.Q8_0.gguf",
                                       MODELS "tiny-v3-bad-noise.Q4_0.gguf"};
    static const char *const bad[] = {MODELS "tiny-v3-bad-nan.Q4_0.gguf",
                                      MODELS "tiny-v3-bad-nanscale.Q4_0.gguf"};

    for (size_t i = 0; i < FLO_COUNT(good); i++) {
        assert_int_equal(scan(good[i], &found, &bytes, &world->err), 0);
        assert_int_equal(flo_sha256_file(good[i], &expected, NULL, &world->err), 0);
        assert_true(flo_digest_equal(&found, &expected));
    }
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_int_equal(scan(bad[i], &found, &bytes, &world->err), FLO_E_MODEL_NONFINITE);
        assert_int_equal(flo_sha256_file(bad[i], &expected, NULL, NULL), 0);
        assert_true(flo_digest_equal(&found, &expected));
        assert_int_equal(bytes, 1734464);
    }
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_world(a_small_update_gets_all_three_ways_and_each_leads_there),
        in_world(a_fine_tune_gets_a_typed_delta),
        in_world(variants_get_deltas_from_each_other),
        in_world(an_unrelated_base_leaves_the_full_download_only),
        in_world(the_same_file_as_base_needs_no_delta),
        in_world(two_authors_write_the_same_document),
        in_world(models_that_devices_refuse_are_refused_here),
        in_world(wrong_names_and_counts_are_refused),
        in_world(the_same_inputs_are_known_and_every_other_is_named),
        in_world(one_pass_gives_the_digest_and_the_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
