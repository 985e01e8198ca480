/* Bundles for tests: see bundle_world.h. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "unit/remove_tree.h"

#include "unit/updater/bundle_world.h"

void blob_name(const char *text, char *out, char *digest_text)
{
    struct flo_digest digest;
    char hex[65];

    flo_sha256(text, strlen(text), &digest);
    flo_hex_encode(digest.bytes, sizeof digest.bytes, hex);
    sprintf(out, "blobs/sha256-%s", hex);
    flo_digest_text(&digest, digest_text);
}

static void write_body(struct world *world, struct flo_buf *body)
{
    char hello[FLO_DIGEST_TEXT];
    char other[FLO_DIGEST_TEXT];

    blob_name(HELLO, world->hello, hello);
    blob_name(WORLD, world->other, other);
    flo_buf_printf(body,
                   "{\"v\":1,\"fleet\":\"demo\",\"model\":\"tiny\",\"version\":\"2.0.0\","
                   "\"number\":2,\"variants\":[{\"name\":\"q4_0\",\"needs\":{},\"files\":"
                   "[\"model.gguf\",\"golden.json\"]}],\"files\":[{\"name\":\"model.gguf\""
                   ",\"role\":\"model\",\"digest\":\"%s\",\"bytes\":5,\"get\":[{\"codec\":"
                   "\"raw\",\"digest\":\"%s\",\"bytes\":5}]},{\"name\":\"golden.json\","
                   "\"role\":\"golden\",\"digest\":\"%s\",\"bytes\":11,\"get\":[{"
                   "\"codec\":\"raw\",\"digest\":\"%s\",\"bytes\":11}]}]}",
                   hello, hello, other, other);
}

int bundle_set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct flo_buf body = {0};
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    snprintf(world->dir, sizeof world->dir, "/tmp/flo-bundle-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    snprintf(world->path, sizeof world->path, "%s/b.tar", world->dir);
    assert_int_equal(flo_key_generate(&world->key, &world->err), 0);
    world->trust = flo_trust_new("demo");
    flo_public_key_pem(flo_key_public(world->key), pem);
    assert_int_equal(flo_trust_add(world->trust, pem, FLO_ROLE_RELEASE, NULL, &world->err), 0);
    write_body(world, &body);
    assert_int_equal(
        flo_release_sign(body.data, body.bytes, world->key, &world->envelope, &world->err), 0);
    flo_buf_deinit(&body);
    *state = world;
    return 0;
}

int bundle_tear_down(void **state)
{
    struct world *world = *state;

    assert_int_equal(remove_tree(world->dir), 0);
    flo_trust_free(world->trust);
    flo_buf_deinit(&world->envelope);
    flo_buf_deinit(&world->more[0]);
    flo_buf_deinit(&world->more[1]);
    flo_key_free(world->key);
    flo_buf_deinit(&world->tar);
    flo_buf_deinit(&world->got);
    free(world);
    return 0;
}

/* ---- tars by hand ---- */

void add_entry(struct world *world, const struct entry *entry)
{
    static const char zeros[512];
    char head[512] = {0};
    unsigned sum = 0;

    snprintf(head, 100, "%s", entry->name);
    snprintf(head + 100, 8, "%07o", (entry->mode == 0 ? 0644 : entry->mode) & 07777u);
    snprintf(head + 108, 8, "%07o", 0);
    snprintf(head + 116, 8, "%07o", 0);
    snprintf(head + 124, 12, "%011zo", entry->bytes);
    if (entry->raw_size != NULL) {
        memcpy(head + 124, entry->raw_size, 12);
    }
    snprintf(head + 136, 12, "%011o", 0);
    head[156] = entry->type == 0 ? '0' : entry->type;
    if (entry->link != NULL) {
        snprintf(head + 157, 100, "%s", entry->link);
    }
    memcpy(head + 257, "ustar\00000", 8);
    memset(head + 148, ' ', 8);
    for (size_t i = 0; i < sizeof head; i++) {
        sum += (uint8_t)head[i];
    }
    snprintf(head + 148, 8, "%06o", sum & 0xffffu);
    flo_buf_add(&world->tar, head, sizeof head);
    if (entry->bytes > 0 && entry->data != NULL) {
        flo_buf_add(&world->tar, entry->data, entry->bytes);
        flo_buf_add(&world->tar, zeros, (512 - entry->bytes % 512) % 512);
    }
}

void add_file(struct world *world, const char *name, const char *data, size_t bytes)
{
    const struct entry entry = {.name = name, .data = data, .bytes = bytes};

    add_entry(world, &entry);
}

void add_document(struct world *world)
{
    add_file(world, "release.json", world->envelope.data, world->envelope.bytes);
}

void add_hello(struct world *world)
{
    add_file(world, world->hello, HELLO, strlen(HELLO));
}

void add_other(struct world *world)
{
    add_file(world, world->other, WORLD, strlen(WORLD));
}

void add_end(struct world *world)
{
    static const char zeros[1024];

    flo_buf_add(&world->tar, zeros, sizeof zeros);
}

/* ---- reading ---- */

int on_data(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    struct world *world = context;

    (void)err;
    flo_buf_add(&world->got, data, bytes);
    return 0;
}

int on_blob_end(void *context, const struct flo_digest *digest, struct flo_err *err)
{
    struct world *world = context;

    (void)digest;
    (void)err;
    world->ended++;
    return 0;
}

int read_path(struct world *world, const char *path)
{
    const struct flo_bundle_handlers handlers = {
        .context = world, .on_data = on_data, .on_blob_end = on_blob_end};

    world->got.bytes = 0;
    world->ended = 0;
    memset(&world->err, 0, sizeof world->err);
    return flo_bundle_read(path, world->trust, &handlers, NULL, &world->err);
}

int read_tar(struct world *world)
{
    int fd = open(world->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(flo_fd_write_all(fd, world->tar.data, world->tar.bytes, &world->err), 0);
    assert_int_equal(close(fd), 0);
    return read_path(world, world->path);
}

void must_fail(struct world *world, int code)
{
    int rv = read_tar(world);

    if (rv != code) {
        print_message("%s: %s\n", flo_error_id(rv), world->err.what);
    }
    assert_int_equal(rv, code);
    assert_int_equal(world->err.code, code);
}

void save_blob(struct world *world, const char *name, const char *text)
{
    char path[192];

    snprintf(path, sizeof path, "%s/%s", world->dir, name + strlen("blobs/"));
    assert_int_equal(flo_file_write(path, text, strlen(text), 0644, &world->err), 0);
}
