/* Forms with a file from any local program, in pieces whose size the first byte
 * says: the first line is the head Content-Type, the rest the body.  The file
 * is the same however its bytes come. */
#include "agent/serve/batch/form.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int keep(void *context, const char *data, size_t bytes, struct flo_err *err)
{
    (void)err;
    flo_buf_add(context, data, bytes);
    return 0;
}

struct seen {
    int rv;
    uint64_t lifetime_s;
    struct flo_buf file;
};

static void feed(const char *type, const char *body, size_t bytes, size_t piece, struct seen *seen)
{
    struct flo_batch_form form = {.take = keep, .context = &seen->file};
    struct flo_err err = {0};
    int rv = flo_batch_form_open(&form, type, &err);

    for (size_t at = 0; rv == 0 && at < bytes; at += piece) {
        size_t n = bytes - at < piece ? bytes - at : piece;
        rv = flo_batch_form_feed(&form, body + at, n, &err);
    }
    seen->rv = rv < 0 ? rv : flo_batch_form_end(&form, &seen->lifetime_s, &err);
    if (seen->rv < 0 && err.what[0] == '\0') {
        abort();
    }
    flo_batch_form_deinit(&form);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct seen whole = {0}, parts = {0};
    const char *end = bytes < 2 ? NULL : memchr(data + 1, '\n', bytes - 1);
    char type[200];

    if (end == NULL) {
        return 0;
    }
    size_t head = (size_t)(end - (const char *)data) - 1;
    size_t left = bytes - head - 2;
    snprintf(type, sizeof(type), "%.*s", (int)(head < 199 ? head : 199), (const char *)data + 1);
    feed(type, end + 1, left, left + 1, &whole);
    feed(type, end + 1, left, 1 + (size_t)data[0], &parts);
    if ((whole.rv == 0) != (parts.rv == 0) ||
        (whole.rv == 0 &&
         (whole.file.bytes != parts.file.bytes || whole.lifetime_s != parts.lifetime_s ||
          memcmp(whole.file.bytes > 0 ? whole.file.data : "",
                 parts.file.bytes > 0 ? parts.file.data : "", whole.file.bytes) != 0))) {
        abort();
    }
    flo_buf_deinit(&whole.file);
    flo_buf_deinit(&parts.file);
    return 0;
}
