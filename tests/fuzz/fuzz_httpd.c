/* HTTP heads and chunked bodies from outside. */
#include "base/host/httpd/parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct httpd_head head;
    struct flo_err err = {0};
    int status;
    char *text = malloc(bytes + 1);
    if (text == NULL || bytes > HTTPD_HEAD_BYTES_MAX) {
        free(text);
        return 0;
    }
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    if (flo_httpd_head_parse(text, bytes, &head, &status, &err) == 0) {
        for (size_t i = 0; i < head.n_headers; i++) {
            if (flo_httpd_head_find(&head, head.headers[i].name) == NULL) {
                abort();
            }
        }
        if (head.path[0] != '/') {
            abort();
        }
    } else if (status < 400 || status > 599) {
        abort();
    }
    memcpy(text, data, bytes);
    struct httpd_chunked chunked = {0};
    size_t at = 0;
    while (at < bytes && !chunked.is_done) {
        const char *piece;
        size_t piece_bytes;
        ptrdiff_t used =
            flo_httpd_chunked_next(&chunked, text + at, bytes - at, &piece, &piece_bytes);
        if (used < 0) {
            break;
        }
        if (used == 0 || piece < text || piece + piece_bytes > text + at + used) {
            abort();
        }
        at += (size_t)used;
    }
    free(text);
    return 0;
}
