/* Bytes: reads and writes little-endian numbers, hex, base64 and digests as
 * text, and computes CRC-32C. */
#include <string.h>

#include <flotilla/base.h>

uint16_t flo_get_u16(const void *p)
{
    const uint8_t *b = p;

    return (uint16_t)(b[0] | b[1] << 8);
}

uint32_t flo_get_u32(const void *p)
{
    const uint8_t *b = p;

    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

uint64_t flo_get_u64(const void *p)
{
    const uint8_t *b = p;

    return (uint64_t)flo_get_u32(b) | (uint64_t)flo_get_u32(b + 4) << 32;
}

float flo_get_f32(const void *p)
{
    uint32_t bits = flo_get_u32(p);
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

void flo_put_u16(void *p, uint16_t value)
{
    uint8_t *b = p;

    b[0] = (uint8_t)value;
    b[1] = (uint8_t)(value >> 8);
}

void flo_put_u32(void *p, uint32_t value)
{
    uint8_t *b = p;

    for (unsigned i = 0; i < 4; i++) {
        b[i] = (uint8_t)(value >> (8 * i));
    }
}

void flo_put_f32(void *p, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    flo_put_u32(p, bits);
}

void flo_put_u64(void *p, uint64_t value)
{
    uint8_t *b = p;

    for (unsigned i = 0; i < 8; i++) {
        b[i] = (uint8_t)(value >> (8 * i));
    }
}

/* CRC table: the remainder of each byte by the reflected polynomial
 * 0x82f63b78. */
static const uint32_t crc_table[256] = {
    0x00000000, 0xf26b8303, 0xe13b70f7, 0x1350f3f4, 0xc79a971f, 0x35f1141c, 0x26a1e7e8, 0xd4ca64eb,
    0x8ad958cf, 0x78b2dbcc, 0x6be22838, 0x9989ab3b, 0x4d43cfd0, 0xbf284cd3, 0xac78bf27, 0x5e133c24,
    0x105ec76f, 0xe235446c, 0xf165b798, 0x030e349b, 0xd7c45070, 0x25afd373, 0x36ff2087, 0xc494a384,
    0x9a879fa0, 0x68ec1ca3, 0x7bbcef57, 0x89d76c54, 0x5d1d08bf, 0xaf768bbc, 0xbc267848, 0x4e4dfb4b,
    0x20bd8ede, 0xd2d60ddd, 0xc186fe29, 0x33ed7d2a, 0xe72719c1, 0x154c9ac2, 0x061c6936, 0xf477ea35,
    0xaa64d611, 0x580f5512, 0x4b5fa6e6, 0xb93425e5, 0x6dfe410e, 0x9f95c20d, 0x8cc531f9, 0x7eaeb2fa,
    0x30e349b1, 0xc288cab2, 0xd1d83946, 0x23b3ba45, 0xf779deae, 0x05125dad, 0x1642ae59, 0xe4292d5a,
    0xba3a117e, 0x4851927d, 0x5b016189, 0xa96ae28a, 0x7da08661, 0x8fcb0562, 0x9c9bf696, 0x6ef07595,
    0x417b1dbc, 0xb3109ebf, 0xa0406d4b, 0x522bee48, 0x86e18aa3, 0x748a09a0, 0x67dafa54, 0x95b17957,
    0xcba24573, 0x39c9c670, 0x2a993584, 0xd8f2b687, 0x0c38d26c, 0xfe53516f, 0xed03a29b, 0x1f682198,
    0x5125dad3, 0xa34e59d0, 0xb01eaa24, 0x42752927, 0x96bf4dcc, 0x64d4cecf, 0x77843d3b, 0x85efbe38,
    0xdbfc821c, 0x2997011f, 0x3ac7f2eb, 0xc8ac71e8, 0x1c661503, 0xee0d9600, 0xfd5d65f4, 0x0f36e6f7,
    0x61c69362, 0x93ad1061, 0x80fde395, 0x72966096, 0xa65c047d, 0x5437877e, 0x4767748a, 0xb50cf789,
    0xeb1fcbad, 0x197448ae, 0x0a24bb5a, 0xf84f3859, 0x2c855cb2, 0xdeeedfb1, 0xcdbe2c45, 0x3fd5af46,
    0x7198540d, 0x83f3d70e, 0x90a324fa, 0x62c8a7f9, 0xb602c312, 0x44694011, 0x5739b3e5, 0xa55230e6,
    0xfb410cc2, 0x092a8fc1, 0x1a7a7c35, 0xe811ff36, 0x3cdb9bdd, 0xceb018de, 0xdde0eb2a, 0x2f8b6829,
    0x82f63b78, 0x709db87b, 0x63cd4b8f, 0x91a6c88c, 0x456cac67, 0xb7072f64, 0xa457dc90, 0x563c5f93,
    0x082f63b7, 0xfa44e0b4, 0xe9141340, 0x1b7f9043, 0xcfb5f4a8, 0x3dde77ab, 0x2e8e845f, 0xdce5075c,
    0x92a8fc17, 0x60c37f14, 0x73938ce0, 0x81f80fe3, 0x55326b08, 0xa759e80b, 0xb4091bff, 0x466298fc,
    0x1871a4d8, 0xea1a27db, 0xf94ad42f, 0x0b21572c, 0xdfeb33c7, 0x2d80b0c4, 0x3ed04330, 0xccbbc033,
    0xa24bb5a6, 0x502036a5, 0x4370c551, 0xb11b4652, 0x65d122b9, 0x97baa1ba, 0x84ea524e, 0x7681d14d,
    0x2892ed69, 0xdaf96e6a, 0xc9a99d9e, 0x3bc21e9d, 0xef087a76, 0x1d63f975, 0x0e330a81, 0xfc588982,
    0xb21572c9, 0x407ef1ca, 0x532e023e, 0xa145813d, 0x758fe5d6, 0x87e466d5, 0x94b49521, 0x66df1622,
    0x38cc2a06, 0xcaa7a905, 0xd9f75af1, 0x2b9cd9f2, 0xff56bd19, 0x0d3d3e1a, 0x1e6dcdee, 0xec064eed,
    0xc38d26c4, 0x31e6a5c7, 0x22b65633, 0xd0ddd530, 0x0417b1db, 0xf67c32d8, 0xe52cc12c, 0x1747422f,
    0x49547e0b, 0xbb3ffd08, 0xa86f0efc, 0x5a048dff, 0x8ecee914, 0x7ca56a17, 0x6ff599e3, 0x9d9e1ae0,
    0xd3d3e1ab, 0x21b862a8, 0x32e8915c, 0xc083125f, 0x144976b4, 0xe622f5b7, 0xf5720643, 0x07198540,
    0x590ab964, 0xab613a67, 0xb831c993, 0x4a5a4a90, 0x9e902e7b, 0x6cfbad78, 0x7fab5e8c, 0x8dc0dd8f,
    0xe330a81a, 0x115b2b19, 0x020bd8ed, 0xf0605bee, 0x24aa3f05, 0xd6c1bc06, 0xc5914ff2, 0x37faccf1,
    0x69e9f0d5, 0x9b8273d6, 0x88d28022, 0x7ab90321, 0xae7367ca, 0x5c18e4c9, 0x4f48173d, 0xbd23943e,
    0xf36e6f75, 0x0105ec76, 0x12551f82, 0xe03e9c81, 0x34f4f86a, 0xc69f7b69, 0xd5cf889d, 0x27a40b9e,
    0x79b737ba, 0x8bdcb4b9, 0x988c474d, 0x6ae7c44e, 0xbe2da0a5, 0x4c4623a6, 0x5f16d052, 0xad7d5351,
};

#ifdef __x86_64__
/* Computes the CRC by the CPU's own instruction, because a cached prefix of
 * many megabytes is checked while a user waits for a token. */
__attribute__((target("sse4.2"))) static size_t crc_of_words(uint32_t *crc, const uint8_t *p,
                                                             size_t bytes)
{
    size_t end = __builtin_cpu_supports("sse4.2") ? bytes - bytes % 8 : 0;
    uint64_t sum = *crc;

    for (size_t i = 0; i < end; i += 8) {
        uint64_t word; /* eight bytes, little-endian as the CPU is */

        memcpy(&word, p + i, sizeof(word));
        sum = __builtin_ia32_crc32di(sum, word);
    }
    *crc = (uint32_t)sum;
    return end;
}
#else
static size_t crc_of_words(uint32_t *crc, const uint8_t *p, size_t bytes)
{
    (void)crc, (void)p, (void)bytes;
    return 0;
}
#endif

uint32_t flo_crc32c(uint32_t seed, const void *data, size_t bytes)
{
    const uint8_t *p = data;
    uint32_t crc = ~seed;

    for (size_t i = crc_of_words(&crc, p, bytes); i < bytes; i++) {
        crc = crc_table[(crc ^ p[i]) & 0xff] ^ (crc >> 8);
    }
    return ~crc;
}

void flo_hex_encode(const void *data, size_t bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = data;

    for (size_t i = 0; i < bytes; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * bytes] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return -1;
}

bool flo_hex_decode(const char *text, void *out, size_t bytes)
{
    if (text == NULL || strnlen(text, 2 * bytes + 1) != 2 * bytes) {
        return false;
    }
    for (size_t i = 0; i < 2 * bytes; i++) {
        if (hex_value(text[i]) < 0) {
            return false;
        }
    }
    uint8_t *p = out;
    for (size_t i = 0; i < bytes; i++) {
        p[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
    }
    return true;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void flo_base64_encode(const void *data, size_t bytes, char *out)
{
    const uint8_t *p = data;
    size_t used = 0;

    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t group = (uint32_t)p[i] << 16;
        group |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)p[i + 2] : 0;
        out[used++] = base64_digits[group >> 18];
        out[used++] = base64_digits[group >> 12 & 63];
        out[used++] = left > 1 ? base64_digits[group >> 6 & 63] : '=';
        out[used++] = left > 2 ? base64_digits[group & 63] : '=';
    }
    out[used] = '\0';
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ptrdiff_t flo_base64_decode(const char *text, size_t chars, void *out)
{
    uint8_t *p = out;
    size_t used = 0;
    size_t padding = 0;

    if (chars % 4 != 0) {
        return -1;
    }
    if (chars > 0 && text[chars - 1] == '=') {
        padding = text[chars - 2] == '=' ? 2 : 1;
    }
    for (size_t i = 0; i < chars; i += 4) {
        bool is_last = i + 4 == chars;
        size_t digits = is_last ? 4 - padding : 4;
        uint32_t group = 0;
        for (size_t k = 0; k < digits; k++) {
            int value = base64_value(text[i + k]);
            if (value < 0) {
                return -1;
            }
            group |= (uint32_t)value << (18 - 6 * k);
        }
        size_t whole = digits - 1;
        /* Bits after the last byte must be zero, so that each value has one
         * text only. */
        if ((group & (0xffffffu >> (8 * whole))) != 0) {
            return -1;
        }
        for (size_t k = 0; k < whole; k++) {
            p[used++] = (uint8_t)(group >> (16 - 8 * k));
        }
    }
    return (ptrdiff_t)used;
}

bool flo_digest_equal(const struct flo_digest *a, const struct flo_digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool flo_digest_is_zero(const struct flo_digest *digest)
{
    static const struct flo_digest zero;

    return flo_digest_equal(digest, &zero);
}

void flo_digest_text(const struct flo_digest *digest, char *out)
{
    memcpy(out, "sha256:", 7);
    flo_hex_encode(digest->bytes, sizeof(digest->bytes), out + 7);
}

bool flo_digest_parse(const char *text, struct flo_digest *out)
{
    return text != NULL && strncmp(text, "sha256:", 7) == 0 &&
           flo_hex_decode(text + 7, out->bytes, sizeof(out->bytes));
}
