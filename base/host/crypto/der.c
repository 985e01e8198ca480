/* Strict DER of an ECDSA signature: SEQUENCE { INTEGER r, INTEGER s }.
 *
 * One signature has one encoding: lengths in short form, integers not
 * negative and without needless zeros, no byte behind.  mbedTLS 2.28 is looser;
 * this stands in front of it. Pure. */
#include <string.h>

#include "base/host/crypto.h"

/* One INTEGER, not negative, of at most 32 bytes at *at, right-aligned. */
static bool integer_read(const uint8_t *der, size_t bytes, size_t *at,
                         uint8_t *out)
{
    if (bytes - *at < 3 || der[*at] != 0x02) {
        return false;
    }
    size_t length = der[*at + 1];
    const uint8_t *value = der + *at + 2;
    if (length < 1 || length > 33 || length > bytes - *at - 2 ||
        (value[0] & 0x80) != 0) {
        return false;
    }
    *at += 2 + length;
    if (value[0] == 0 && length > 1) {
        /* A zero is there only to keep the next byte positive. */
        if ((value[1] & 0x80) == 0) {
            return false;
        }
        value++;
        length--;
    }
    if (length > 32) {
        return false;
    }
    memset(out, 0, 32 - length);
    memcpy(out + 32 - length, value, length);
    return true;
}

bool flo_signature_der_read(const void *der, size_t bytes, uint8_t *signature)
{
    const uint8_t *p = der;
    uint8_t raw[FLO_SIGNATURE_BYTES];
    size_t at = 2;

    if (bytes < 8 || bytes > FLO_SIGNATURE_DER_BYTES_MAX || p[0] != 0x30 ||
        p[1] != bytes - 2 || !integer_read(p, bytes, &at, raw) ||
        !integer_read(p, bytes, &at, raw + 32) || at != bytes) {
        return false;
    }
    memcpy(signature, raw, sizeof(raw));
    return true;
}

static size_t integer_write(const uint8_t *value, uint8_t *out)
{
    size_t skip = 0;

    while (skip < 31 && value[skip] == 0) {
        skip++;
    }
    size_t length = 32 - skip;
    size_t zero = (value[skip] & 0x80) != 0 ? 1 : 0;
    out[0] = 0x02;
    out[1] = (uint8_t)(length + zero);
    out[2] = 0;
    memcpy(out + 2 + zero, value + skip, length);
    return 2 + zero + length;
}

size_t flo_signature_der_write(const uint8_t *signature, uint8_t *der)
{
    size_t used = 2;

    used += integer_write(signature, der + used);
    used += integer_write(signature + 32, der + used);
    der[0] = 0x30;
    der[1] = (uint8_t)(used - 2);
    return used;
}

bool flo_signature_is_low(const uint8_t *signature)
{
    /* (n - 1) / 2 of P-256 (FIPS 186-4, D.1.2.3) */
    static const uint8_t half[32] = {
        0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b,
        0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8};

    return memcmp(signature + 32, half, sizeof(half)) <= 0;
}
