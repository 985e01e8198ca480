/* Party: numbers, names and shares of those who ask; see party.h. */
#include "agent/serve/party.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/serve/state.h"
#include "base/host/digest.h"

static const struct {
    enum flo_party_kind kind;
    const char *word;
} kinds[] = {
#define FLO_PARTY(name, number, word, known) {FLO_PARTY_##name, word},
#include "agent/parties.def"
#undef FLO_PARTY
};

uint64_t flo_party_number(enum flo_party_kind kind, const char *name)
{
    struct flo_digest digest;

    flo_sha256(name, strlen(name), &digest);
    return flo_party_of(kind, flo_get_u64(digest.bytes));
}

uint64_t flo_party_prefixes(uint64_t number)
{
    if (!flo_party_is_told(number)) {
        flo_random(&number, sizeof(number) - 1);
    }
    return number;
}

bool flo_party_is_owner(uint64_t number)
{
    uint64_t id = number & FLO_PARTY_ID_MASK;

    return number >> FLO_PARTY_ID_BITS == FLO_PARTY_USER && (id == 0 || id == geteuid());
}

void flo_party_name(const struct flo_serve *serve, const struct flo_party *party,
                    char out[FLO_NAME_MAX + 1])
{
    const char *word = "";

    for (size_t i = 0; i < FLO_COUNT(kinds); i++) {
        word = kinds[i].kind == party->number >> FLO_PARTY_ID_BITS ? kinds[i].word : word;
    }
    if (party->token >= 0) {
        strcpy(out, serve->tokens[party->token].name);
    } else if (flo_party_is_owner(party->number)) {
        out[0] = '\0';
    } else {
        snprintf(out, FLO_NAME_MAX + 1, "%s:%llu", word,
                 (unsigned long long)(party->number & FLO_PARTY_ID_MASK));
    }
}

bool flo_party_read(const struct flo_serve *serve, const char *name, struct flo_party *out)
{
    const char *colon = strchr(name, ':');

    *out = (struct flo_party){.token = -1};
    if (name[0] == '\0') {
        out->number = flo_party_of(FLO_PARTY_USER, geteuid());
    }
    for (uint32_t i = 0; colon == NULL && i < serve->n_tokens; i++) {
        if (strcmp(serve->tokens[i].name, name) == 0) {
            out->number = serve->tokens[i].number;
            out->token = (int)i;
        }
    }
    for (size_t i = 0; colon != NULL && i < FLO_COUNT(kinds); i++) {
        size_t chars = (size_t)(colon - name);
        if (strlen(kinds[i].word) == chars && memcmp(kinds[i].word, name, chars) == 0) {
            out->number = flo_party_of(kinds[i].kind, strtoull(colon + 1, NULL, 10));
        }
    }
    out->prefixes = flo_party_prefixes(out->number);
    return out->number != 0;
}

bool flo_party_log(struct flo_serve *serve, const struct flo_party *party, uint64_t now_ms,
                   enum flo_log_level level, const char *area, const struct flo_err *err)
{
    struct serve_lines *lines = &serve->lines[party->number % FLO_COUNT(serve->lines)];
    struct flo_err told = *err;
    char name[FLO_NAME_MAX + 1];

    if (lines->party != party->number || now_ms - lines->since_ms >= FLO_PARTY_LINES_MS) {
        uint32_t left_out = lines->party == party->number ? lines->left_out : 0;
        *lines = (struct serve_lines){party->number, now_ms, 0, left_out};
    }
    if (lines->count == FLO_PARTY_LINES_MAX) {
        lines->left_out++;
        return false;
    }
    lines->count++;
    flo_party_name(serve, party, name);
    (void)flo_wrap(&told, err->code, "%s", name[0] == '\0' ? "owner" : name);
    if (lines->left_out > 0) {
        (void)flo_wrap(&told, err->code, "after %u lines that are left out", lines->left_out);
        lines->left_out = 0;
    }
    flo_log_err(level, area, &told);
    return true;
}

bool flo_party_may_take(uint64_t own, uint64_t more, uint64_t used, uint64_t most)
{
    uint64_t left = used <= most && more <= most - used ? most - used - more : 0;

    return more <= left && own <= left - more;
}
