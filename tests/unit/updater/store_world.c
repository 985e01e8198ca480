#include "store_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host/digest.h"
#include "unit/remove_tree.h"

int world_set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    snprintf(world->dir, sizeof(world->dir), "/tmp/flo-store-XXXXXX");
    if (mkdtemp(world->dir) == NULL ||
        flo_store_open(world->dir, true, &world->store, &world->err) < 0) {
        return -1;
    }
    *state = world;
    return 0;
}

int world_tear_down(void **state)
{
    struct world *world = *state;

    flo_store_close(world->store);
    int rv = remove_tree(world->dir);
    free(world);
    return rv;
}

struct flo_digest digest_of(uint8_t n)
{
    struct flo_digest digest;

    memset(digest.bytes, n, sizeof(digest.bytes));
    return digest;
}

void world_path(const struct world *world, const char *name, char out[256])
{
    snprintf(out, 256, "%s/%s", world->dir, name);
}

int open_file(const struct world *world, const char *name, int flags)
{
    char path[256];

    world_path(world, name, path);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

struct flo_slots read_slots(struct world *world)
{
    struct flo_slots slots;

    assert_int_equal(flo_store_slots_read(world->store, "tiny", &slots, &world->err), 0);
    return slots;
}

struct flo_digest put_stepped_of(struct world *world, const char *model, const char *version,
                                 uint64_t number, const char *content, struct flo_digest *file,
                                 const struct flo_digest *step)
{
    struct flo_release release = {.number = number, .file_count = 1, .variant_count = 1};
    struct flo_buf body = {0};
    struct flo_buf text = {0};
    struct flo_envelope envelope = {.signature_count = 1};
    struct flo_digest digest;

    assert_int_equal(flo_store_blob_put(world->store, content, strlen(content), file, &world->err),
                     0);
    strcpy(release.fleet, "demo");
    strcpy(release.model, model);
    strcpy(release.version, version);
    strcpy(release.license, "apache-2.0");
    strcpy(release.variants[0].name, "q4_0");
    release.variants[0].file_count = 1;
    strcpy(release.files[0].name, "model.gguf");
    strcpy(release.files[0].role, "model");
    release.files[0].digest = *file;
    release.files[0].bytes = strlen(content);
    release.files[0].way_count = 1;
    release.files[0].ways[0].digest = *file;
    release.files[0].ways[0].bytes = strlen(content);
    if (step != NULL) { /* by a delta that is not here any more */
        struct flo_release_file *second = &release.files[1];
        release.file_count = 2;
        strcpy(second->name, "steps/one");
        strcpy(second->role, "step");
        second->digest = *step;
        second->bytes = 3;
        second->way_count = 1;
        second->ways[0] = (struct flo_way){.codec = FLO_CODEC_TENSOR1,
                                           .digest = digest_of(1),
                                           .bytes = 3,
                                           .base = digest_of(2),
                                           .memory_bytes = 1000};
    }
    assert_int_equal(flo_release_write(&release, &body, &world->err), 0);
    strcpy(envelope.type, FLO_TYPE_RELEASE);
    envelope.body = body.data;
    envelope.body_bytes = body.bytes;
    memset(envelope.signatures[0].keyid, 'a', 64);
    flo_envelope_write(&envelope, &text);
    flo_sha256(body.data, body.bytes, &digest);
    struct flo_release_document document = {text.data, text.bytes, body.data, body.bytes};
    assert_int_equal(flo_store_release_put(world->store, &document, &world->err), 0);
    flo_buf_deinit(&body);
    flo_buf_deinit(&text);
    return digest;
}
