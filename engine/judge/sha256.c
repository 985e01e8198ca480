/* SHA-256 of a file. */
#include "engine/judge/sha256.h"

#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 64, BUFFER = 1 << 16 };

static const uint32_t rounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, int by)
{
    return x >> by | x << (32 - by);
}

static void add_block(uint32_t state[8], const uint8_t *data)
{
    uint32_t w[64], s[8];

    for (int i = 0; i < 16; i++) {
        w[i] = __builtin_bswap32(flo_get_u32(data + 4 * i));
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] +
               (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
    memcpy(s, state, sizeof(s));
    for (int i = 0; i < 64; i++) {
        uint32_t e = s[4], a = s[0];
        uint32_t one = s[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) +
                       ((e & s[5]) ^ (~e & s[6])) + rounds[i] + w[i];
        uint32_t two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) +
                       ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof(*s));
        s[4] += one;
        s[0] = one + two;
    }
    for (int i = 0; i < 8; i++) {
        state[i] += s[i];
    }
}

int flo_tool_sha256(const char *path, struct flo_digest *digest,
                    uint64_t *bytes, struct flo_err *err)
{
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    static uint8_t buffer[BUFFER + BLOCK];
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct stat stat;
    int rv = flo_file_open(path, &fd, err);

    if (rv < 0) {
        return rv;
    }
    if (fstat(fd, &stat) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", path);
    }
    *bytes = (uint64_t)stat.st_size;
    for (uint64_t at = 0; at <= *bytes; at += BUFFER) {
        uint64_t left = *bytes - at;
        size_t n = left < BUFFER ? (size_t)left : BUFFER;

        rv = flo_fd_pread_all(fd, buffer, n, at, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "%s", path);
        }
        if (left < BUFFER) { /* a one bit, zeros and the length in bits */
            size_t end = (n + 9 + BLOCK - 1) / BLOCK * BLOCK;
            memset(buffer + n, 0, end - n);
            buffer[n] = 0x80;
            flo_put_u64(buffer + end - 8, __builtin_bswap64(*bytes * 8));
            n = end;
        }
        for (size_t i = 0; i < n; i += BLOCK) {
            add_block(state, buffer + i);
        }
    }
    for (int i = 0; i < 8; i++) {
        flo_put_u32(digest->bytes + 4 * i, __builtin_bswap32(state[i]));
    }
    return 0;
}
