/* A publisher for tests. */
#include "publisher.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"

#define CHUNK (1u << 20)

/* Trouble here is a broken test machine, not a finding. */
static void must(bool good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "publisher: %s\n", what);
        abort();
    }
}

void publisher_open(struct publisher *publisher, const char *dir)
{
    struct flo_trust *trust = flo_trust_new("demo");
    struct flo_buf json = {0};
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    memset(publisher, 0, sizeof(*publisher));
    snprintf(publisher->dir, sizeof(publisher->dir), "%s", dir);
    snprintf(publisher->trust_file, sizeof(publisher->trust_file), "%s/trust.json", dir);
    must(flo_key_generate(&publisher->key, NULL) == 0, "key");
    flo_public_key_pem(flo_key_public(publisher->key), pem);
    must(flo_trust_add(trust, pem, FLO_ROLE_RELEASE, NULL, NULL) == 0, "trust");
    flo_trust_text(trust, &json);
    must(flo_file_write(publisher->trust_file, json.data, json.bytes, 0600, NULL) == 0,
         "trust file");
    flo_buf_deinit(&json);
    flo_trust_free(trust);
}

void publisher_close(struct publisher *publisher)
{
    flo_key_free(publisher->key);
}

void publisher_path(const struct publisher *publisher, const struct flo_digest *digest,
                    char out[256])
{
    char hex[65];

    flo_hex_encode(digest->bytes, 32, hex);
    snprintf(out, 256, "%s/sha256-%s", publisher->dir, hex);
}

void publisher_envelope_path(const struct publisher *publisher, const struct flo_digest *release,
                             char out[256])
{
    char hex[65];

    flo_hex_encode(release->bytes, 32, hex);
    snprintf(out, 256, "%s/envelope-%s", publisher->dir, hex);
}

struct flo_release publisher_begin(const char *version, uint64_t number)
{
    struct flo_release release = {.number = number, .variant_count = 1};

    flo_release_serve_init(&release.serve);
    snprintf(release.fleet, sizeof(release.fleet), "demo");
    snprintf(release.model, sizeof(release.model), "tiny");
    snprintf(release.version, sizeof(release.version), "%s", version);
    snprintf(release.license, sizeof(release.license), "apache-2.0");
    snprintf(release.variants[0].name, sizeof(release.variants[0].name), "default");
    return release;
}

void publisher_add_list(const struct publisher *publisher, struct flo_release_file *file,
                        const void *list, size_t bytes)
{
    char target[256];

    flo_sha256(list, bytes, &file->chunk_list);
    publisher_path(publisher, &file->chunk_list, target);
    must(flo_file_write(target, list, bytes, 0600, NULL) == 0, target);
}

uint32_t publisher_add(struct publisher *publisher, struct flo_release *release, const char *name,
                       const char *role, const char *path)
{
    uint32_t index = release->file_count++;
    struct flo_release_file *file = &release->files[index];
    uint8_t *piece = malloc(CHUNK);
    char target[256];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    must(fd >= 0 && piece != NULL, path);
    must(flo_sha256_fd(fd, &file->digest, &file->bytes, NULL) == 0, path);
    snprintf(file->name, sizeof(file->name), "%s", name);
    snprintf(file->role, sizeof(file->role), "%s", role);
    file->chunk_bytes = CHUNK;
    struct flo_digest *chunks = calloc(flo_release_chunks(file), 32);
    publisher_path(publisher, &file->digest, target);
    int out = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(out >= 0 && chunks != NULL, target);
    for (uint32_t i = 0; i < flo_release_chunks(file); i++) {
        ssize_t bytes = pread(fd, piece, CHUNK, (off_t)i * CHUNK);
        must(bytes > 0 && flo_fd_write_all(out, piece, (size_t)bytes, NULL) == 0, target);
        flo_sha256(piece, (size_t)bytes, &chunks[i]);
    }
    publisher_add_list(publisher, file, chunks, 32 * (size_t)flo_release_chunks(file));
    free(chunks);
    close(out);
    close(fd);
    free(piece);
    file->ways[0] =
        (struct flo_way){.codec = FLO_CODEC_RAW, .digest = file->digest, .bytes = file->bytes};
    file->way_count = 1;
    struct flo_release_variant *variant = &release->variants[0];
    variant->files[variant->file_count++] = (uint8_t)index;
    return index;
}

void publisher_add_way(struct publisher *publisher, struct flo_release *release, uint32_t file,
                       const char *choice, const char *base)
{
    struct flo_release_file *facts = &release->files[file];
    struct flo_way *way = &facts->ways[facts->way_count++];
    struct flo_delta_made made;
    char source[256];
    char draft[256];
    char target[256];

    publisher_path(publisher, &facts->digest, source);
    snprintf(draft, sizeof(draft), "%s/draft", publisher->dir);
    int old_fd = open(base != NULL ? base : source, O_RDONLY | O_CLOEXEC);
    int new_fd = open(source, O_RDONLY | O_CLOEXEC);
    int patch_fd = open(draft, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(flo_delta_create(choice, old_fd, new_fd, patch_fd, NULL, &made, NULL) == 0, choice);
    close(old_fd);
    close(new_fd);
    struct flo_delta_facts patch = {0};
    must(flo_delta_inspect(patch_fd, &patch, NULL) == 0, choice);
    close(patch_fd);
    *way = (struct flo_way){
        .codec = made.codec, .digest = made.digest, .bytes = made.bytes, .head = patch.head};
    if (base != NULL) {
        way->base = made.old_digest;
    }
    publisher_path(publisher, &way->digest, target);
    must(rename(draft, target) == 0, target);
}

struct flo_digest publisher_sign(struct publisher *publisher, const struct flo_key *key,
                                 struct flo_release *release)
{
    struct flo_buf body = {0};
    struct flo_buf envelope = {0};
    struct flo_err err = {0};
    struct flo_digest digest;
    char path[256];

    must(flo_release_write(release, &body, &err) == 0, err.what);
    must(flo_release_sign(body.data, body.bytes, key, &envelope, &err) == 0, err.what);
    flo_sha256(body.data, body.bytes, &digest);
    publisher_envelope_path(publisher, &digest, path);
    must(flo_file_write(path, envelope.data, envelope.bytes, 0600, NULL) == 0, path);
    flo_buf_deinit(&body);
    flo_buf_deinit(&envelope);
    flo_release_deinit(release);
    return digest;
}

void publisher_other_s(uint8_t signature[64])
{
    /* n of P-256 */
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                      0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    uint8_t *s = signature + 32;
    int borrow = 0;

    for (int i = 31; i >= 0; i--) {
        int byte = order[i] - s[i] - borrow;
        borrow = byte < 0;
        s[i] = (uint8_t)byte;
    }
}
