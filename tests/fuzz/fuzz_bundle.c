/* Bundles.  First byte even: the rest is the file.  Odd: a verified release
 * document goes before the rest, so that what comes behind it is reached; with
 * its second bit set too, two numbered ones of two releases. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <flotilla/release.h>

#include "base/host/crypto.h"

#define HELLO "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char body[] =
    "{\"v\":1,\"fleet\":\"demo\",\"model\":\"tiny\",\"version\":\"2.0.0\","
    "\"number\":%d,\"variants\":[{\"name\":\"q4_0\",\"needs\":{},\"files\":["
    "\"model.gguf\"]}],\"files\":[{\"name\":\"model.gguf\",\"role\":\"model\","
    "\"digest\":\"" HELLO "\",\"bytes\":5,\"get\":[{\"codec\":\"raw\","
    "\"digest\":\"" HELLO "\",\"bytes\":5}]}]}";

static struct flo_trust *trust;
static struct flo_buf document; /* a tar entry */
static struct flo_buf two;      /* tar entries */

static void add_entry(struct flo_buf *out, const struct flo_key *key, const char *name, int number)
{
    struct flo_buf envelope = {0};
    char text[1024];
    char head[512] = {0};
    static const char zeros[512];
    unsigned sum = 0;

    snprintf(text, sizeof text, body, number);
    if (flo_release_sign(text, strlen(text), key, &envelope, NULL) < 0) {
        abort();
    }
    snprintf(head, 100, "%s", name);
    snprintf(head + 100, 8, "0000644");
    snprintf(head + 124, 12, "%011zo", envelope.bytes);
    head[156] = '0';
    memcpy(head + 257, "ustar\00000", 8);
    memset(head + 148, ' ', 8);
    for (size_t i = 0; i < sizeof head; i++) {
        sum += (uint8_t)head[i];
    }
    snprintf(head + 148, 8, "%06o", sum & 0xffffu);
    flo_buf_add(out, head, sizeof head);
    flo_buf_add(out, envelope.data, envelope.bytes);
    flo_buf_add(out, zeros, (512 - envelope.bytes % 512) % 512);
    flo_buf_deinit(&envelope);
}

static void make_documents(void)
{
    struct flo_key *key = NULL;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    trust = flo_trust_new("demo");
    if (flo_key_generate(&key, NULL) < 0) {
        abort();
    }
    flo_public_key_pem(flo_key_public(key), pem);
    if (flo_trust_add(trust, pem, FLO_ROLE_RELEASE, NULL, NULL) < 0) {
        abort();
    }
    add_entry(&document, key, "release.json", 2);
    add_entry(&two, key, "release-0.json", 2);
    add_entry(&two, key, "release-1.json", 3);
    flo_key_free(key);
}

static int on_data(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    (void)data;
    (void)err;
    *(uint64_t *)context += bytes;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int fd = -1;
    char path[64];
    uint64_t written = 0;
    size_t before = 0;

    if (fd < 0) {
        fd = memfd_create("bundle", MFD_CLOEXEC);
        make_documents();
    }
    if (bytes == 0 || ftruncate(fd, 0) != 0) {
        return 0;
    }
    if ((data[0] & 1) != 0) {
        const struct flo_buf *head = (data[0] & 2) != 0 ? &two : &document;
        before = head->bytes;
        if (pwrite(fd, head->data, before, 0) != (ssize_t)before) {
            abort();
        }
    }
    if (pwrite(fd, data + 1, bytes - 1, (off_t)before) != (ssize_t)(bytes - 1)) {
        abort();
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const struct flo_bundle_handlers handlers = {.context = &written, .on_data = on_data};
    int rv = flo_bundle_read(path, trust, &handlers, NULL, NULL);
    if (written > 5 || (rv == 0 && written != 5)) {
        abort(); /* only the five bytes that a release names */
    }
    return 0;
}
