/* Images: checks the images in messages without decoding them.
 *
 * A runtime gets the images unchanged.  The check keeps links, other types and
 * invalid base64 away from it. */
#include "agent/serve/params/images.h"

#include <string.h>

/* number of base64 characters that contain the longest signature */
#define HEAD_CHARS 16
#define BLOCK_CHARS 4096 /* number of base64 characters that are decoded at once */

static const struct kind {
    const char *type;
    /* bytes that an image of this type has at offset 0 and at offset 8; empty:
     * any bytes */
    const char *at, *also_at;
} kinds[] = {
    {"image/png", "\x89PNG\r\n\x1a\n", ""},
    {"image/jpeg", "\xff\xd8\xff", ""},
    {"image/gif", "GIF87a", ""},
    {"image/gif", "GIF89a", ""},
    {"image/webp", "RIFF", "WEBP"},
};

static bool begins(const uint8_t *data, size_t bytes, const char *with)
{
    size_t n = strlen(with);

    return bytes >= n && memcmp(data, with, n) == 0;
}

const char *flo_image_type(struct flo_wire_text base64)
{
    uint8_t head[HEAD_CHARS] = {0};
    size_t chars = base64.bytes < HEAD_CHARS ? base64.bytes : HEAD_CHARS;
    ptrdiff_t n = flo_base64_decode(base64.data, chars, head);

    for (size_t i = 0; n > 0 && i < FLO_COUNT(kinds); i++) {
        size_t rest = n > 8 ? (size_t)n - 8 : 0;
        if (begins(head, (size_t)n, kinds[i].at) && begins(head + 8, rest, kinds[i].also_at)) {
            return kinds[i].type;
        }
    }
    return NULL;
}

/* Tells whether the text is base64.  Only its last block may have padding. */
static bool is_base64(struct flo_wire_text text)
{
    uint8_t block[3 * BLOCK_CHARS / 4];

    while (text.bytes > BLOCK_CHARS) {
        if (flo_base64_decode(text.data, BLOCK_CHARS, block) != (ptrdiff_t)sizeof(block)) {
            return false;
        }
        text.data += BLOCK_CHARS;
        text.bytes -= BLOCK_CHARS;
    }
    return text.bytes > 0 && flo_base64_decode(text.data, text.bytes, block) >= 0;
}

/* Skips a prefix, whatever its case.  Returns false when the text begins
 * differently. */
static bool skip(struct flo_wire_text *text, const char *word)
{
    size_t n = strlen(word);

    if (text->bytes < n || strncasecmp(text->data, word, n) != 0) {
        return false;
    }
    text->data += n;
    text->bytes -= n;
    return true;
}

/* Returns the type that a URL names, and advances *url to its base64; NULL: the
 * type is not supported.  Accepts image/jpg, which many clients write. */
static const char *said_type(struct flo_wire_text *url)
{
    static const struct {
        const char *begin, *type;
    } rows[] = {
        {"data:image/png;base64,", "image/png"},   {"data:image/jpeg;base64,", "image/jpeg"},
        {"data:image/jpg;base64,", "image/jpeg"},  {"data:image/gif;base64,", "image/gif"},
        {"data:image/webp;base64,", "image/webp"},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (skip(url, rows[i].begin)) {
            return rows[i].type;
        }
    }
    return NULL;
}

int flo_image_check(struct flo_wire_text url, struct flo_err *err)
{
    struct flo_wire_text rest = url;
    const char *said = said_type(&rest);

    if (said == NULL) {
        return flo_fail(err, FLO_E_INFER_PARAM,
                        skip(&rest, "data:") ? "has an image that is no base64 of image/png, "
                                               "image/jpeg, image/webp or image/gif"
                                             : "has an image by a link: a device fetches "
                                               "nothing for a prompt, send it as "
                                               "data:image/png;base64,...");
    }
    const char *is = flo_image_type(rest);
    if (!is_base64(rest)) {
        return flo_fail(err, FLO_E_INFER_PARAM, "has an image whose base64 is broken");
    }
    if (is == NULL || strcmp(is, said) != 0) {
        return flo_fail(err, FLO_E_INFER_PARAM, "has an image that says %s, and its bytes are %s",
                        said, is == NULL ? "no image" : is);
    }
    return 0;
}

json_t *flo_image_part(const char *type, const char *base64)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf url = {.bytes_max = 1u << 21};
    json_t *part = NULL;

    if (type == NULL || base64 == NULL) {
        return NULL;
    }
    flo_buf_printf(&url, "data:%s;base64,", type);
    flo_buf_text(&url, base64);
    if (!url.failed) {
        part = json_pack("{s:s,s:{s:s%}}", "type", "image_url", "image_url", "url", url.data,
                         url.bytes);
    }
    return part;
}
