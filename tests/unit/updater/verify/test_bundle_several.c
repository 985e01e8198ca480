/* Bundles of several releases: their order, what they share, and that one bad
 * document refuses all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/bundle.h>
#include <flotilla/errors/sig.h>

#include "base/host/digest.h"
#include "unit/updater/bundle_world.h"

#define THIRD "a third file"

struct other {
    const char *version, *text; /* of its one file */
    uint64_t number;
    uint64_t bytes;                /* that it says of the file */
    const struct flo_digest *base; /* NULL: none */
    const struct flo_key *key;
};

static void sign_other(struct world *world, int at, struct other other)
{
    struct flo_buf body = {0};
    char name[80];
    char digest[FLO_DIGEST_TEXT];
    char base[FLO_DIGEST_TEXT] = "";

    blob_name(other.text, name, digest);
    flo_buf_printf(&body,
                   "{\"v\":2,\"fleet\":\"demo\",\"model\":\"tiny\","
                   "\"version\":\"%s\",\"number\":%d,",
                   other.version, (int)other.number);
    if (other.base != NULL) {
        flo_digest_text(other.base, base);
        flo_buf_printf(&body, "\"base\":{\"release\":\"%s\",\"number\":1},", base);
    }
    flo_buf_printf(&body,
                   "\"variants\":[{\"name\":\"q\",\"needs\":{},\"entry\":"
                   "\"m\",\"files\":[\"m\"]}],\"files\":[{\"name\":\"m\","
                   "\"role\":\"model\",\"digest\":\"%s\",\"bytes\":%d,"
                   "\"get\":[{\"codec\":\"raw\",\"digest\":\"%s\","
                   "\"bytes\":%d}]}]}",
                   digest, (int)other.bytes, digest, (int)other.bytes);
    flo_buf_deinit(&world->more[at]);
    assert_int_equal(flo_release_sign(body.data, body.bytes,
                                      other.key != NULL ? other.key : world->key, &world->more[at],
                                      &world->err),
                     0);
    flo_buf_deinit(&body);
}

static void add_numbered(struct world *world, int number, const struct flo_buf *envelope)
{
    char name[32];

    snprintf(name, sizeof name, "release-%d.json", number);
    add_file(world, name, envelope->data, envelope->bytes);
}

static int note_release(void *context, const struct flo_release_verified *verified,
                        const void *envelope, size_t bytes, struct flo_err *err)
{
    struct world *world = context;

    (void)envelope;
    (void)bytes;
    (void)err;
    flo_buf_printf(&world->got, "%s ", verified->release.version);
    return 0;
}

static struct flo_digest id_of(const struct flo_buf *envelope)
{
    struct flo_envelope parts = {0};
    struct flo_digest id;

    assert_int_equal(
        flo_envelope_parse(envelope->data, envelope->bytes, FLO_TYPE_RELEASE, &parts, NULL), 0);
    flo_sha256(parts.body, parts.body_bytes, &id);
    flo_envelope_deinit(&parts);
    return id;
}

static void several_releases_stand_base_first_and_share_blobs(void **state)
{
    struct world *world = *state;
    struct flo_bundle_facts facts;
    struct flo_digest last;
    char name[80];
    char text[FLO_DIGEST_TEXT];

    sign_other(world, 1, (struct other){"9.0.0", HELLO, 9, 5, NULL, NULL});
    last = id_of(&world->more[1]);
    /* Its number is not its base's: the base goes first all the same. */
    sign_other(world, 0, (struct other){"1.0.0", THIRD, 1, 12, NULL, NULL});
    const struct flo_bundle_document documents[] = {{world->more[1].data, world->more[1].bytes},
                                                    {world->envelope.data, world->envelope.bytes},
                                                    {world->more[0].data, world->more[0].bytes}};
    struct flo_bundle_spec spec = {
        .documents = documents, .document_count = 3, .blob_dir = world->dir};
    blob_name(THIRD, name, text);
    save_blob(world, world->hello, HELLO);
    save_blob(world, world->other, WORLD);
    save_blob(world, name, THIRD);

    assert_int_equal(flo_bundle_create(world->path, &spec, &facts, &world->err), 0);

    assert_int_equal(facts.release_count, 3);
    assert_int_equal(facts.blobs, 3); /* one of them serves two releases */
    assert_memory_equal(&facts.releases[2], &last, sizeof last);
    const struct flo_bundle_handlers handlers = {.context = world, .on_release = note_release};
    assert_int_equal(flo_bundle_read(world->path, world->trust, &handlers, &facts, &world->err), 0);
    assert_string_equal(world->got.data, "1.0.0 2.0.0 9.0.0 ");
    assert_int_equal(facts.release_count, 3);

    spec.document_count = 0;
    assert_int_equal(flo_bundle_create(world->path, &spec, NULL, &world->err), FLO_E_USAGE);
    const struct flo_bundle_document twice[] = {documents[0], documents[0]};
    spec.documents = twice;
    spec.document_count = 2;
    assert_int_equal(flo_bundle_create(world->path, &spec, NULL, &world->err), FLO_E_USAGE);
}

static void a_base_of_another_model_stands_first(void **state)
{
    struct world *world = *state;
    struct flo_digest base = id_of(&world->envelope);
    struct flo_bundle_facts facts;

    /* Its number is below the base's, as of another model it could be. */
    sign_other(world, 0, (struct other){"3.0.0", HELLO, 3, 5, &base, NULL});
    const struct flo_bundle_document documents[] = {{world->more[0].data, world->more[0].bytes},
                                                    {world->envelope.data, world->envelope.bytes}};
    const struct flo_bundle_spec spec = {
        .documents = documents, .document_count = 2, .blob_dir = world->dir};
    save_blob(world, world->hello, HELLO);
    save_blob(world, world->other, WORLD);
    assert_int_equal(flo_bundle_create(world->path, &spec, &facts, &world->err), 0);
    assert_memory_equal(&facts.releases[0], &base, sizeof base);
}

static void numbered_documents_have_no_gap_and_stand_before_blobs(void **state)
{
    struct world *world = *state;
    struct {
        int first, second; /* -1: release.json */
        int code;
    } rows[] = {{0, 1, 0},
                {0, 2, FLO_E_BUNDLE_ORDER},
                {1, 0, FLO_E_BUNDLE_ORDER},
                {-1, 0, FLO_E_BUNDLE_ORDER},
                {-1, 1, FLO_E_BUNDLE_ORDER},
                {0, -1, FLO_E_BUNDLE_ORDER},
                {0, 0, FLO_E_BUNDLE_DUPLICATE},
                {-1, -1, FLO_E_BUNDLE_DUPLICATE},
                {0, 8, FLO_E_BUNDLE_PATH}};

    sign_other(world, 0, (struct other){"3.0.0", HELLO, 3, 5, NULL, NULL});
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const struct flo_buf *documents[] = {&world->envelope, &world->more[0]};
        int numbers[] = {rows[i].first, rows[i].second};
        world->tar.bytes = 0;
        for (size_t k = 0; k < 2; k++) {
            if (numbers[k] >= 0) {
                add_numbered(world, numbers[k], documents[k]);
            } else {
                add_file(world, "release.json", documents[k]->data, documents[k]->bytes);
            }
        }
        add_hello(world);
        add_other(world);
        add_end(world);
        if (rows[i].code == 0) {
            assert_int_equal(read_tar(world), 0);
        } else {
            must_fail(world, rows[i].code);
        }
    }
    world->tar.bytes = 0;
    add_numbered(world, 0, &world->envelope);
    add_hello(world);
    add_numbered(world, 1, &world->more[0]);
    add_other(world);
    add_end(world);
    must_fail(world, FLO_E_BUNDLE_ORDER);
}

static void add_two(struct world *world)
{
    world->tar.bytes = 0;
    add_numbered(world, 0, &world->envelope);
    add_numbered(world, 1, &world->more[0]);
    add_hello(world);
    add_other(world);
    add_end(world);
}

static void each_release_of_a_bundle_must_be_good(void **state)
{
    struct world *world = *state;
    struct flo_key *stranger = NULL;

    assert_int_equal(flo_key_generate(&stranger, NULL), 0);
    sign_other(world, 0, (struct other){"3.0.0", HELLO, 3, 5, NULL, stranger});
    add_two(world);
    must_fail(world, FLO_E_SIG_UNKNOWN_KEY);
    assert_int_equal(world->ended, 0);
    flo_key_free(stranger);
    /* the second one's file is not there */
    sign_other(world, 0, (struct other){"3.0.0", THIRD, 3, 12, NULL, NULL});
    add_two(world);
    must_fail(world, FLO_E_BUNDLE_MISSING);
    assert_non_null(strstr(world->err.what, "m of tiny@3.0.0"));
    /* two sizes of one digest */
    sign_other(world, 0, (struct other){"3.0.0", HELLO, 3, 6, NULL, NULL});
    add_two(world);
    must_fail(world, FLO_E_BUNDLE_SIZE);
    /* one release under two names */
    flo_buf_deinit(&world->more[0]);
    flo_buf_add(&world->more[0], world->envelope.data, world->envelope.bytes);
    add_two(world);
    must_fail(world, FLO_E_BUNDLE_DUPLICATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_bundle(several_releases_stand_base_first_and_share_blobs),
        in_bundle(a_base_of_another_model_stands_first),
        in_bundle(numbered_documents_have_no_gap_and_stand_before_blobs),
        in_bundle(each_release_of_a_bundle_must_be_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
