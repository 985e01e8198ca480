/* Bundles: what is written reads back; every bad one of bad-inputs.csv is
 * refused with its own error.  Tars are made by hand, header by header. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <zstd.h>

#include <flotilla/errors/bundle.h>
#include <flotilla/errors/sig.h>
#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "unit/remove_tree.h"

#include "unit/updater/bundle_world.h"

/* ---- good ones ---- */

static void a_whole_bundle_gives_every_blob(void **state)
{
    struct world *world = *state;

    add_document(world);
    add_hello(world);
    add_other(world);
    add_end(world);
    assert_int_equal(read_tar(world), 0);
    assert_string_equal(world->got.data, HELLO WORLD);
    assert_int_equal(world->ended, 2);
}

static void what_create_writes_reads_back_plain_and_compressed(void **state)
{
    struct world *world = *state;
    struct flo_bundle_spec spec = {
        .documents = &(struct flo_bundle_document){world->envelope.data, world->envelope.bytes},
        .document_count = 1,
        .blob_dir = world->dir};
    struct flo_bundle_facts facts;

    save_blob(world, world->hello, HELLO);
    save_blob(world, world->other, WORLD);
    for (int compress = 0; compress < 2; compress++) {
        spec.compress = compress == 1;
        assert_int_equal(flo_bundle_create(world->path, &spec, &facts, &world->err), 0);
        assert_int_equal(facts.blobs, 2);
        assert_int_equal(facts.bytes, 16);
        assert_int_equal(read_path(world, world->path), 0);
        assert_string_equal(world->got.data, HELLO WORLD);
    }
}

static int note_lacking(void *context, const struct flo_release *release,
                        const struct flo_release_file *file, struct flo_err *err)
{
    struct world *world = context;

    (void)release;
    (void)err;
    flo_buf_printf(&world->got, "-%s", file->name);
    return 0;
}

static void a_bundle_without_a_file_says_which_one(void **state)
{
    static const char *const without[] = {"golden.json", "model.gguf"};
    static const char *const unknown[] = {"golden.jsn"};
    struct world *world = *state;
    struct flo_bundle_spec spec = {
        .documents = &(struct flo_bundle_document){world->envelope.data, world->envelope.bytes},
        .document_count = 1,
        .blob_dir = world->dir,
        .without = without,
        .without_count = 1};
    const struct flo_bundle_handlers handlers = {
        .context = world, .on_data = on_data, .on_lacking = note_lacking};

    save_blob(world, world->hello, HELLO);
    assert_int_equal(flo_bundle_create(world->path, &spec, NULL, &world->err), 0);
    assert_int_equal(read_path(world, world->path), FLO_E_BUNDLE_MISSING);
    flo_buf_deinit(&world->got);
    assert_int_equal(flo_bundle_read(world->path, world->trust, &handlers, NULL, &world->err), 0);
    assert_string_equal(world->got.data, HELLO "-golden.json");

    spec.without_count = 2;
    assert_int_equal(flo_bundle_create(world->path, &spec, NULL, &world->err), FLO_E_USAGE);
    spec.without = unknown;
    spec.without_count = 1;
    assert_int_equal(flo_bundle_create(world->path, &spec, NULL, &world->err), FLO_E_USAGE);
    spec.without_count = 0;
    spec.variant = "q8";
    assert_int_equal(flo_bundle_create(world->path, &spec, NULL, &world->err), FLO_E_USAGE);
}

static void create_refuses_blobs_that_are_absent_or_changed(void **state)
{
    struct world *world = *state;
    const struct flo_bundle_spec spec = {
        .documents = &(struct flo_bundle_document){world->envelope.data, world->envelope.bytes},
        .document_count = 1,
        .blob_dir = world->dir};

    save_blob(world, world->hello, HELLO);
    assert_int_equal(flo_bundle_create(world->path, &spec, NULL, &world->err),
                     FLO_E_BUNDLE_MISSING);
    save_blob(world, world->other, "other bytez");
    assert_int_equal(flo_bundle_create(world->path, &spec, NULL, &world->err), FLO_E_TARGET_HASH);
    save_blob(world, world->other, "short");
    assert_int_equal(flo_bundle_create(world->path, &spec, NULL, &world->err), FLO_E_TARGET_HASH);
    assert_int_equal(access(world->path, F_OK), -1); /* nothing half-made */
}

static int skip_all(void *context, const struct flo_digest *digest, uint64_t bytes, bool *wanted,
                    struct flo_err *err)
{
    (void)context;
    (void)digest;
    (void)bytes;
    (void)err;
    *wanted = false;
    return 0;
}

static void skipped_blobs_are_hashed_all_the_same(void **state)
{
    struct world *world = *state;
    const struct flo_bundle_handlers handlers = {
        .context = world, .on_blob = skip_all, .on_data = on_data, .on_blob_end = on_blob_end};
    struct flo_bundle_facts facts;

    add_document(world);
    add_file(world, world->hello, "hellO", 5);
    add_other(world);
    add_end(world);
    assert_int_equal(read_tar(world), FLO_E_TARGET_HASH);
    assert_int_equal(flo_bundle_read(world->path, world->trust, &handlers, &facts, &world->err),
                     FLO_E_TARGET_HASH);
    assert_int_equal(world->ended, 0);
}

/* ---- bad ones ---- */

static void a_path_that_leads_elsewhere_is_refused(void **state)
{
    struct world *world = *state; /* BU02, BU17 */
    static const char *const names[] = {
        "/etc/passwd",       "../etc/passwd",         "blobs/../../etc/passwd", "blobs/\033[31mred",
        "blobs/line\nbreak", "blobs/\xe2\x80\xaeltr", "blobs/with blank",       "\xff\xfe",
    };

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        world->tar.bytes = 0;
        add_document(world);
        add_file(world, names[i], "x", 1);
        add_end(world);
        must_fail(world, FLO_E_BUNDLE_PATH);
        for (const char *p = world->err.what; *p != '\0'; p++) {
            assert_true((unsigned char)*p >= ' ');
        }
    }
    world->tar.bytes = 0; /* first of all, it is refused as well */
    add_file(world, "/etc/passwd", "x", 1);
    must_fail(world, FLO_E_BUNDLE_PATH);
}

static void anything_but_a_plain_file_is_refused(void **state)
{
    struct world *world = *state; /* BU03, BU05 */
    static const char types[] = {'1', '2', '3', '4', '5', '6'};

    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        const struct entry entry = {.name = world->hello, .type = types[i], .link = "/etc/passwd"};
        world->tar.bytes = 0;
        add_document(world);
        add_entry(world, &entry);
        add_end(world);
        must_fail(world, FLO_E_BUNDLE_ENTRY);
    }
    const struct entry setuid = {.name = world->hello, .data = HELLO, .bytes = 5, .mode = 04755};
    world->tar.bytes = 0;
    add_document(world);
    add_entry(world, &setuid);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_ENTRY);
}

static void a_sparse_entry_is_refused(void **state)
{
    struct world *world = *state; /* BU05: pax GNU.sparse */
    static const char pax[] = "22 GNU.sparse.major=0\n"
                              "22 GNU.sparse.minor=1\n"
                              "24 GNU.sparse.size=1000\n"
                              "22 GNU.sparse.map=0,5\n";
    const struct entry head = {
        .name = "PaxHeaders/x", .data = pax, .bytes = sizeof pax - 1, .type = 'x'};

    add_document(world);
    add_entry(world, &head);
    add_hello(world);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_ENTRY);
}

static void a_name_that_stands_twice_is_refused(void **state) /* BU06 */
{
    struct world *world = *state;

    add_document(world);
    add_hello(world);
    add_hello(world);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_DUPLICATE);
    world->tar.bytes = 0;
    add_document(world);
    add_hello(world);
    add_document(world);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_DUPLICATE);
}

static void a_missing_blob_is_refused(void **state) /* BU08 */
{
    struct world *world = *state;

    add_document(world);
    add_hello(world);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_MISSING);
    assert_non_null(strstr(world->err.what, "golden.json"));
}

static void a_document_that_is_not_first_is_refused(void **state) /* BU09 */
{
    struct world *world = *state;

    add_hello(world);
    add_document(world);
    add_other(world);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_ORDER);
    assert_int_equal(world->got.bytes, 0);
}

static void an_entry_that_the_release_does_not_name_is_refused(void **state)
{
    struct world *world = *state;

    add_document(world);
    add_hello(world);
    add_file(world, "README", "x", 1);
    add_other(world);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_PATH);
}

static void a_larger_or_smaller_entry_than_signed_is_refused(void **state)
{
    struct world *world = *state; /* BU11 */
    char *big = calloc(1, 1 << 20);

    add_document(world);
    add_file(world, world->hello, big, 1 << 20);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_BOMB);
    assert_int_equal(world->got.bytes, 0);
    world->tar.bytes = 0;
    add_document(world);
    add_file(world, world->hello, "hell", 4);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_SIZE);
    free(big);
}

static void a_compressed_bomb_is_refused_without_taking_memory(void **state)
{
    struct world *world = *state; /* BU11 */
    struct flo_buf packed = {0};
    ZSTD_CCtx *context = ZSTD_createCCtx();
    static char zeros[1 << 20];
    char out[65536];
    uint8_t size[12] = {0x80, 0, 0, 0, 0, 0, 0, 0x19}; /* 100 GiB, base 256 */
    struct rusage before;
    struct rusage after;

    add_document(world);
    const struct entry entry = {.name = world->hello, .raw_size = size};
    add_entry(world, &entry);
    ZSTD_inBuffer head = {world->tar.data, world->tar.bytes, 0};
    ZSTD_inBuffer body = {zeros, sizeof zeros, 0};
    for (int i = 0; i < 65; i++) { /* 64 MiB of zeros */
        ZSTD_inBuffer *in = i == 0 ? &head : &body;
        body.pos = 0;
        do {
            ZSTD_outBuffer to = {out, sizeof out, 0};
            ZSTD_compressStream2(context, &to, in, ZSTD_e_continue);
            flo_buf_add(&packed, out, to.pos);
        } while (in->pos < in->size);
    }
    ZSTD_freeCCtx(context);
    flo_buf_deinit(&world->tar);
    world->tar = packed;
    getrusage(RUSAGE_SELF, &before);
    must_fail(world, FLO_E_BUNDLE_BOMB);
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 32 << 10);
    assert_int_equal(world->got.bytes, 0);
}

static void a_window_of_more_than_8_mib_is_refused(void **state)
{
    struct world *world = *state; /* BU11 */
    size_t bytes = 40 << 20;
    char *data = calloc(1, bytes);
    size_t room = ZSTD_compressBound(bytes);
    char *packed = malloc(room);
    ZSTD_CCtx *context = ZSTD_createCCtx();

    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 25);
    size_t packed_bytes = ZSTD_compress2(context, packed, room, data, bytes);
    flo_buf_add(&world->tar, packed, packed_bytes);
    must_fail(world, FLO_E_BUNDLE_BOMB);
    ZSTD_freeCCtx(context);
    free(data);
    free(packed);
}

static void every_cut_is_refused(void **state) /* BU14 */
{
    struct world *world = *state;

    add_document(world);
    add_hello(world);
    add_other(world);
    add_end(world);
    size_t end = world->tar.bytes - 1024; /* after it, nothing is lost */
    end -= 512 - strlen(WORLD);
    for (size_t bytes = 0; bytes < end; bytes += 13) {
        world->tar.bytes = bytes;
        int rv = read_tar(world);
        assert_true(rv == FLO_E_BUNDLE_TRUNCATED || rv == FLO_E_BUNDLE_FORMAT ||
                    rv == FLO_E_BUNDLE_MISSING);
    }
    world->tar.bytes = end - 5; /* in the middle of the last entry */
    must_fail(world, FLO_E_BUNDLE_TRUNCATED);
}

static void every_cut_of_a_compressed_one_is_refused(void **state)
{
    struct world *world = *state;

    add_document(world);
    add_hello(world);
    add_other(world);
    add_end(world);
    char packed[8192];
    size_t whole = ZSTD_compress(packed, sizeof packed, world->tar.data, world->tar.bytes, 3);
    assert_false(ZSTD_isError(whole));
    world->tar.bytes = 0;
    flo_buf_add(&world->tar, packed, whole);
    assert_int_equal(read_tar(world), 0);
    for (size_t bytes = 0; bytes < whole; bytes++) {
        world->tar.bytes = bytes;
        int rv = read_tar(world);
        assert_true(rv == FLO_E_BUNDLE_TRUNCATED || rv == FLO_E_BUNDLE_FORMAT);
    }
    for (size_t bit = 0; bit < 8 * whole; bit += 3) {
        world->tar.bytes = 0;
        flo_buf_add(&world->tar, packed, whole);
        world->tar.data[bit / 8] ^= (char)(1 << bit % 8);
        (void)read_tar(world); /* must only not crash; digests decide */
    }
}

static void an_impossible_size_field_is_refused(void **state) /* BU15 */
{
    struct world *world = *state;
    static const uint8_t sizes[][12] = {
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0},
        {0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    };

    for (size_t i = 0; i < FLO_COUNT(sizes); i++) {
        const struct entry entry = {.name = world->hello, .raw_size = sizes[i]};
        world->tar.bytes = 0;
        add_document(world);
        add_entry(world, &entry);
        add_end(world);
        int rv = read_tar(world);
        assert_true(rv == FLO_E_BUNDLE_SIZE || rv == FLO_E_BUNDLE_BOMB);
    }
}

static void a_flood_of_empty_entries_is_refused_at_the_limit(void **state) /* BU18 */
{
    struct world *world = *state;

    add_document(world);
    for (int i = 0; i < FLO_BUNDLE_ENTRIES_MAX; i++) {
        char name[32];
        snprintf(name, sizeof name, "blobs/%d", i);
        add_file(world, name, "", 0);
    }
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_LIMIT);
}

static void an_oversize_document_is_refused(void **state)
{
    struct world *world = *state;
    char *big = calloc(1, 300 << 10);

    add_file(world, "release.json", big, 300 << 10);
    add_end(world);
    must_fail(world, FLO_E_META_TOO_LARGE);
    free(big);
}

static void an_untrusted_document_is_refused_before_any_blob(void **state)
{
    struct world *world = *state;
    struct flo_trust *nobody = flo_trust_new("demo");

    add_document(world);
    add_hello(world);
    add_other(world);
    add_end(world);
    assert_int_equal(read_tar(world), 0);
    flo_trust_free(world->trust);
    world->trust = nobody;
    must_fail(world, FLO_E_SIG_UNKNOWN_KEY);
    assert_int_equal(world->got.bytes, 0);
}

static void an_archive_inside_is_only_bytes(void **state) /* BU12 */
{
    struct world *world = *state;

    add_document(world);
    add_file(world, "nested.tar", "PK\3\4 or whatever", 16);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_PATH);
}

static void what_is_no_tar_is_refused(void **state)
{
    struct world *world = *state;

    flo_buf_text(&world->tar, "this is a text and no archive of any kind");
    must_fail(world, FLO_E_BUNDLE_FORMAT);
    world->tar.bytes = 0;
    flo_buf_add(&world->tar, "", 0);
    must_fail(world, FLO_E_BUNDLE_FORMAT);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_FORMAT);
}

static void what_is_no_regular_file_is_refused_at_once(void **state) /* CL02 */
{
    struct world *world = *state;
    char fifo[96];

    snprintf(fifo, sizeof fifo, "%s/fifo", world->dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(read_path(world, fifo), FLO_E_IO_OPEN);
    assert_int_equal(read_path(world, world->dir), FLO_E_IO_OPEN);
    assert_int_equal(read_path(world, "/dev/zero"), FLO_E_IO_OPEN);
    assert_int_equal(read_path(world, "/nowhere/b.tar"), FLO_E_ABSENT);
}

static void a_disk_that_fails_is_told_apart(void **state) /* BU20 */
{
    struct world *world = *state;

    /* a regular file whose first page reads as EIO */
    assert_int_equal(read_path(world, "/proc/self/mem"), FLO_E_IO_READ);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_bundle(a_whole_bundle_gives_every_blob),
        in_bundle(what_create_writes_reads_back_plain_and_compressed),
        in_bundle(a_bundle_without_a_file_says_which_one),
        in_bundle(create_refuses_blobs_that_are_absent_or_changed),
        in_bundle(skipped_blobs_are_hashed_all_the_same),
        in_bundle(a_path_that_leads_elsewhere_is_refused),
        in_bundle(anything_but_a_plain_file_is_refused),
        in_bundle(a_sparse_entry_is_refused),
        in_bundle(a_name_that_stands_twice_is_refused),
        in_bundle(a_missing_blob_is_refused),
        in_bundle(a_document_that_is_not_first_is_refused),
        in_bundle(an_entry_that_the_release_does_not_name_is_refused),
        in_bundle(a_larger_or_smaller_entry_than_signed_is_refused),
        in_bundle(a_compressed_bomb_is_refused_without_taking_memory),
        in_bundle(a_window_of_more_than_8_mib_is_refused),
        in_bundle(every_cut_is_refused),
        in_bundle(every_cut_of_a_compressed_one_is_refused),
        in_bundle(an_impossible_size_field_is_refused),
        in_bundle(a_flood_of_empty_entries_is_refused_at_the_limit),
        in_bundle(an_oversize_document_is_refused),
        in_bundle(an_untrusted_document_is_refused_before_any_blob),
        in_bundle(an_archive_inside_is_only_bytes),
        in_bundle(what_is_no_tar_is_refused),
        in_bundle(what_is_no_regular_file_is_refused_at_once),
        in_bundle(a_disk_that_fails_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
