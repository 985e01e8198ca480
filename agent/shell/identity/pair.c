#include "agent/shell/identity/pair.h"

#include <string.h>

#include <flotilla/errors/net.h>
#include <flotilla/errors/sig.h>

#define HEAD FLO_PAIR_HEAD

static bool read_number(const char **at, const char *end, char after, uint64_t *out)
{
    const char *from = *at;
    uint64_t value = 0;

    while (*at < end && **at >= '0' && **at <= '9' && *at - from < 19) {
        value = value * 10 + (uint64_t)(*(*at)++ - '0');
    }
    if (*at == from || *at == end || **at != after) {
        return false;
    }
    (*at)++;
    *out = value;
    return true;
}

static bool read_head(const char **at, const char *end, struct flo_pair *out)
{
    if ((size_t)(end - *at) < strlen(HEAD) || memcmp(*at, HEAD, strlen(HEAD)) != 0) {
        return false;
    }
    *at += strlen(HEAD);
    return read_number(at, end, ' ', &out->number) && out->number > 0 &&
           read_number(at, end, ' ', &out->issued_ms) && read_number(at, end, '\n', &out->taken_ms);
}

int flo_pair_read(const char *data, size_t bytes, const char *device, struct flo_pair *out,
                  struct flo_err *err)
{
    struct flo_pair pair = {.is_there = true};
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    const char *at = data;

    if (!read_head(&at, data + bytes, &pair)) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "no head of a pair");
    }
    size_t rest = bytes - (size_t)(at - data);
    FLO_TRY(flo_certificate_read(at, rest, &pair.facts, err));
    FLO_TRY(flo_key_parse(at, rest, &key, err));
    if (strcmp(flo_key_public(key)->keyid, pair.facts.key.keyid) != 0) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "the certificate is of another key");
    }
    if (device != NULL && strcmp(pair.facts.common_name, device) != 0) {
        return flo_fail(err, FLO_E_NET_TLS, "the certificate is for %s, not %s",
                        pair.facts.common_name, device);
    }
    *out = pair;
    return 0;
}
