/* Images of any local program: a URL, and a base64 text without a type.  The
 * first byte chooses. */
#include "agent/serve/params/images.h"

#include <string.h>

#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* One that is taken is base64 of the bytes that it begins with. */
static void check_url(struct flo_wire_text url)
{
    struct flo_err err = {0};

    if (flo_image_check(url, &err) < 0) {
        must(strncmp(err.what, "has an image ", 13) == 0);
        return;
    }
    const char *comma = memchr(url.data, ',', url.bytes);
    must(comma != NULL);
    size_t chars = url.bytes - (size_t)(comma + 1 - url.data);
    uint8_t *image = malloc(chars);
    must(image != NULL && flo_base64_decode(comma + 1, chars, image) > 0);
    must(flo_image_type((struct flo_wire_text){comma + 1, chars}) != NULL);
    free(image);
}

static void check_base64(struct flo_wire_text text)
{
    const char *type = flo_image_type(text);
    char *copy = strndup(text.data, text.bytes);
    json_t *part = flo_image_part(type, copy);

    must(type == NULL || strncmp(type, "image/", 6) == 0);
    must(type != NULL || part == NULL);
    json_decref(part);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0) {
        return 0;
    }
    char *copy = malloc(bytes); /* of exactly its size: ASan sees one more */
    must(copy != NULL);
    memcpy(copy, data + 1, bytes - 1);
    if (data[0] == 'u') {
        check_url((struct flo_wire_text){copy, bytes - 1});
    } else {
        check_base64((struct flo_wire_text){copy, bytes - 1});
    }
    free(copy);
    return 0;
}
