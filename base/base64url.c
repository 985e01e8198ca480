/* Base64url: base64 whose text stands in a URL as it is. */
#include <flotilla/base.h>

void flo_base64url_encode(const void *data, size_t bytes, char *out)
{
    const uint8_t *from = data;
    char four[5];

    /* Encodes three bytes at a time. base64url has no padding, so the last
     * group may have fewer than four characters. */
    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i < 3 ? bytes - i : 3;
        flo_base64_encode(from + i, left, four);
        for (size_t c = 0; c <= left; c++) {
            *out++ = (char)(four[c] == '+' ? '-' : four[c] == '/' ? '_' : four[c]);
        }
    }
    *out = '\0';
}

ptrdiff_t flo_base64url_decode(const char *text, size_t chars, uint8_t *out)
{
    ptrdiff_t bytes = 0;

    for (size_t i = 0; i < chars; i += 4) {
        char four[4];
        for (size_t c = 0; c < 4; c++) {
            char sign = i + c < chars ? text[i + c] : '=';
            bool is_foreign = sign == '+' || sign == '/' || (sign == '=' && i + c < chars);
            four[c] = (char)(is_foreign ? '!' : sign == '-' ? '+' : sign == '_' ? '/' : sign);
        }
        ptrdiff_t got = flo_base64_decode(four, sizeof(four), out + bytes);
        if (got < 0) {
            return -1;
        }
        bytes += got;
    }
    return bytes;
}
