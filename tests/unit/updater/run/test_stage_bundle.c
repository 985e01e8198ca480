/* Staging from a bundle: no network, one release of several, damage. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/updater.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "blobs.h"
#include "stage_world.h"
#include "unit/remove_tree.h"
#include "updater/fetch/part.h"
#include "updater/store/store.h"

/* ---- tests ---- */

/* A byte of a blob is another one. */
/* The bundle of a release, as `spec` says it. */
static void write_bundle(struct world *world, const struct flo_digest *release,
                         struct flo_bundle_spec spec, char bundle[256])
{
    FLO_CLEANUP(flo_free_cleanup) char *envelope = NULL;
    struct flo_bundle_facts facts;
    size_t bytes = 0;
    char path[256];

    publisher_envelope_path(&world->publisher, release, path);
    assert_int_equal(flo_file_read(path, 1 << 20, &envelope, &bytes, NULL), 0);
    snprintf(bundle, 256, "%s/tiny.flb", world->dir);
    spec.documents = &(struct flo_bundle_document){envelope, bytes};
    spec.document_count = 1;
    spec.blob_dir = world->mirror_dir;
    assert_int_equal(flo_bundle_create(bundle, &spec, &facts, NULL), 0);
}

/* With `blobs`; none: all of its smallest ways. */
static void make_bundle(struct world *world, const struct flo_digest *release,
                        const struct flo_digest *blobs, size_t blob_count, char bundle[256])
{
    write_bundle(world, release, (struct flo_bundle_spec){.blobs = blobs, .blob_count = blob_count},
                 bundle);
}

static void a_bundle_needs_no_network(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest none = {{0}};
    char bundle[256];

    publisher_add_way(&world->publisher, &release, 0, "bsdiff40", OLD);
    struct flo_digest blobs[2] = {release.files[0].ways[1].digest, release.files[1].digest};
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    make_bundle(world, &digest, blobs, 2, bundle);
    put_blob_of(world, OLD);

    stage(world, &none, bundle);

    assert_staged(world, &digest);
    assert_int_equal(world->mirror.requests, 0);
    assert_event(world, "\"codec\":\"bsdiff40\"");

    /* Without the base it cannot be installed, and says so. */
    flo_store_close(world->store);
    assert_int_equal(remove_tree(world->state_dir), 0);
    assert_int_equal(flo_store_open(world->state_dir, true, &world->store, NULL), 0);
    stage(world, &none, bundle);
    assert_event(world, "\"id\":\"bundle.missing\"");
    assert_event(world, "\"passing\":false");
}

/* Other bytes than signed, where an earlier run left off. */
static void leave_wrong_bytes(struct world *world, const struct flo_digest *digest, uint64_t bytes)
{
    struct flo_artifact artifact = {.digest = *digest, .bytes = bytes};
    struct flo_part *part = NULL;

    assert_int_equal(flo_part_open(world->store, &artifact, &part, NULL), 0);
    assert_int_equal(flo_part_write(part, "wrong", 5, NULL), 0);
    flo_part_close(part);
}

static void wrong_bytes_of_an_earlier_run_come_again_from_the_bundle(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest none = {{0}};
    char bundle[256];

    publisher_add_way(&world->publisher, &release, 0, "bsdiff40", OLD);
    struct flo_way patch = release.files[0].ways[1];
    struct flo_release_file golden = release.files[1];
    struct flo_digest blobs[2] = {patch.digest, golden.digest};
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    make_bundle(world, &digest, blobs, 2, bundle);
    put_blob_of(world, OLD);
    leave_wrong_bytes(world, &patch.digest, patch.bytes);
    leave_wrong_bytes(world, &golden.digest, golden.bytes);

    stage(world, &none, bundle);

    assert_staged(world, &digest);
    assert_event(world, "\"codec\":\"bsdiff40\"");
}

static void a_bundle_without_the_base_asks_for_a_device_that_has_it(void **state)
{
    static const char *const without[] = {"model.gguf"};
    struct world *world = *state;
    struct flo_release release = two_files(world, OLD);
    struct flo_digest none = {{0}};
    char bundle[256];

    publisher_add(&world->publisher, &release, "ops.gguf", "adapter", NEW);
    release.files[2].scale_ppm = FLO_SCALE_PPM;
    release.base = release.files[0].digest;
    release.base_number = 1;
    struct flo_digest list = release.files[2].chunk_list;
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    write_bundle(world, &digest, (struct flo_bundle_spec){.without = without, .without_count = 1},
                 bundle);

    stage(world, &none, bundle);
    assert_event(world, "\"id\":\"bundle.missing\"");
    assert_event(world, "model.gguf");
    assert_event(world, "\"passing\":false");
    assert_int_equal(count_partials(world), 0);

    put_blob_of(world, OLD);
    stage(world, &none, bundle);
    assert_staged(world, &digest);
    assert_int_equal(world->mirror.requests, 0);
    assert_true(flo_store_blob_has(world->store, &list, 64));
}

static void a_bundle_of_one_variant_serves_the_device_that_it_fits(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, OLD);
    struct flo_digest none = {{0}};
    struct flo_release loaded;
    char bundle[256];

    publisher_add(&world->publisher, &release, "small.gguf", "model", NEW);
    release.variant_count = 2;
    release.variants[1] = release.variants[0];
    strcpy(release.variants[0].name, "large");
    strcpy(release.variants[1].name, "small");
    release.variants[0].file_count = 2;
    release.variants[1].file_count = 2;
    release.variants[1].files[0] = 2;
    release.variants[1].entry = 2;
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    write_bundle(world, &digest, (struct flo_bundle_spec){.variant = "small"}, bundle);

    stage(world, &none, bundle);

    assert_event(world, "\"event\":\"staged\"");
    assert_event(world, "large is not in the bundle");
    assert_int_equal(world->mirror.requests, 0);
    assert_int_equal(flo_store_release_load(world->store, &digest, &loaded, NULL), 0);
    assert_int_equal(flo_store_release_variant(world->store, &digest, &loaded), 1);
    flo_release_deinit(&loaded);
}

/* Asked for one, the worker takes that one alone. */
static void each_release_of_a_bundle_is_staged_when_it_is_asked_for(void **state)
{
    struct world *world = *state;
    struct flo_release first = publisher_begin("2.0.0", 2);
    struct flo_release second = two_files(world, NEW);
    struct flo_bundle_document documents[2];
    struct flo_digest ids[2];
    char *envelopes[2];
    char path[256], bundle[256];

    publisher_add(&world->publisher, &first, "model.gguf", "model", OLD);
    struct flo_digest model = second.files[0].digest;
    ids[0] = publisher_sign(&world->publisher, world->publisher.key, &first);
    ids[1] = publisher_sign(&world->publisher, world->publisher.key, &second);
    for (size_t i = 0; i < 2; i++) {
        publisher_envelope_path(&world->publisher, &ids[i], path);
        assert_int_equal(flo_file_read(path, 1 << 20, &envelopes[i], &documents[i].bytes, NULL), 0);
        documents[i].envelope = envelopes[i];
    }
    snprintf(bundle, sizeof bundle, "%s/two.flb", world->dir);
    const struct flo_bundle_spec spec = {
        .documents = documents, .document_count = 2, .blob_dir = world->mirror_dir};
    assert_int_equal(flo_bundle_create(bundle, &spec, NULL, NULL), 0);

    stage(world, &ids[0], bundle);
    assert_staged(world, &ids[0]);
    assert_false(flo_store_blob_has(world->store, &model, 0));
    stage(world, &ids[1], bundle);
    assert_staged(world, &ids[1]);
    assert_int_equal(world->mirror.requests, 0);

    ids[0].bytes[0] ^= 1;
    stage(world, &ids[0], bundle);
    assert_event(world, "\"id\":\"bundle.missing\"");
    free(envelopes[0]);
    free(envelopes[1]);
}

static void a_bundle_repairs_a_rotten_release_document(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest none = {{0}};
    char bundle[256];
    char path[256];

    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    make_bundle(world, &digest, NULL, 0, bundle);
    stage(world, &none, bundle);
    assert_staged(world, &digest);
    rot(world, &digest, 30);

    stage(world, &none, bundle);
    assert_staged(world, &digest);

    /* And one that a power cut made shorter. */
    blob_path(world->store, &digest, path, sizeof(path));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 100), 0);
    stage(world, &none, bundle);
    assert_staged(world, &digest);
}

static void a_cut_bundle_changes_nothing(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest none = {{0}};
    struct flo_digest model = release.files[0].digest;
    char bundle[256];

    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    make_bundle(world, &digest, NULL, 0, bundle);
    assert_int_equal(truncate(bundle, 500000), 0);

    stage(world, &none, bundle);

    assert_event(world, "\"id\":\"bundle.truncated\"");
    assert_false(flo_store_blob_has(world->store, &model, 0));
    assert_int_equal(count_partials(world), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_world(a_bundle_needs_no_network),
        with_world(wrong_bytes_of_an_earlier_run_come_again_from_the_bundle),
        with_world(a_bundle_without_the_base_asks_for_a_device_that_has_it),
        with_world(a_bundle_of_one_variant_serves_the_device_that_it_fits),
        with_world(each_release_of_a_bundle_is_staged_when_it_is_asked_for),
        with_world(a_bundle_repairs_a_rotten_release_document),
        with_world(a_cut_bundle_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
