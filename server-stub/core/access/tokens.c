/* Tokens: writes and recognises personal tokens and enrolment tokens. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/access/tokens.h"

#define PAT "flt_pat_"
#define BASE32 "abcdefghijklmnopqrstuvwxyz234567"
#define HEX "0123456789abcdef"

void flo_access_token_text(const uint8_t random[38], char *id, char *out)
{
    char secret[65];

    flo_hex_encode(random, 6, id);
    flo_hex_encode(random + 6, 32, secret);
    snprintf(out, FLO_TOKEN_TEXT, PAT "%s_%s", id, secret);
}

bool flo_access_token_parse(const char *token, char *id)
{
    const char *at = token + sizeof(PAT) - 1;

    if (strncmp(token, PAT, sizeof(PAT) - 1) != 0 || strlen(at) != 12 + 1 + 64 ||
        strspn(at, HEX) != 12 || at[12] != '_' || strspn(at + 13, HEX) != 64) {
        return false;
    }
    memcpy(id, at, 12);
    id[12] = '\0';
    return true;
}

void flo_enrol_token_text(const uint8_t random[17], const struct flo_digest *authority, char *out)
{
    char text[27];
    char fingerprint[65];
    unsigned bits = 0;
    unsigned held = 0;
    size_t next = 0;

    for (size_t i = 0; i < 26; i++) {
        if (held < 5) {
            bits = bits << 8 | random[next++];
            held += 8;
        }
        held -= 5;
        text[i] = BASE32[bits >> held & 31];
    }
    text[26] = '\0';
    flo_hex_encode(authority->bytes, FLO_DIGEST_BYTES, fingerprint);
    snprintf(out, FLO_TOKEN_TEXT, "flt1.%s.%.32s", text, fingerprint);
}

bool flo_enrol_token_is_valid(const char *token)
{
    return strncmp(token, "flt1.", 5) == 0 && strlen(token) == 5 + 26 + 1 + 32 &&
           strspn(token + 5, BASE32) == 26 && token[31] == '.' && strspn(token + 32, HEX) == 32;
}
