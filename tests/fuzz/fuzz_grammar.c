/* GBNF: any text is compiled or refused; what is compiled can be walked along
 * any bytes, and its tokens are those that the walk takes. */
#include <stdlib.h>
#include <string.h>

#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* "a" "ab" "{\"" "\xc3": as a vocabulary would have them. */
static uint32_t ids[] = {0, 1, 2, 3};
static uint32_t places[] = {0, 1, 2, 4};
static uint8_t lengths[] = {1, 2, 2, 1};
static uint8_t shared[] = {0, 1, 0, 0};
static char text[] = "ab{\"\xc3";
static const struct flo_pieces pieces = {4, ids, places, lengths, shared, text};

static void walk(struct flo_matcher *m, const uint8_t *data, size_t bytes)
{
    static const char *const tokens[] = {"a", "ab", "{\"", "\xc3"};
    uint32_t at = flo_matcher_start(m);
    for (size_t i = 0; i < bytes; i++) {
        bool is_new;
        at = flo_matcher_drop(m, at); /* room for what follows */
        uint64_t mask = *flo_matcher_mask(m, &at, &is_new);
        for (size_t t = 0; t < 4 && !m->is_ambiguous; t++) {
            uint32_t behind = at;
            bool fits = flo_matcher_walk(m, &behind, tokens[t], strlen(tokens[t]));
            if (!m->is_ambiguous && fits != (mask >> t & 1)) {
                abort();
            }
        }
        if (!flo_matcher_walk(m, &at, &data[i], 1)) {
            int forced = m->states[at].forced;
            uint8_t byte = (uint8_t)(forced < 0 ? 'a' : forced);
            if (forced == data[i] || !flo_matcher_walk(m, &at, &byte, 1)) {
                return;
            }
        }
    }
}

/* A grammar, a NUL, the bytes to walk along. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_program *program = NULL;
    struct flo_matcher *matcher = NULL;
    struct flo_err err = {0};
    const uint8_t *end = memchr(data, 0, bytes);
    size_t grammar = end != NULL ? (size_t)(end - data) : bytes;
    size_t rest = end != NULL ? bytes - grammar - 1 : 0;
    if (flo_gbnf_compile((const char *)data, grammar, &program, &err) == 0 &&
        flo_matcher_open(program, &pieces, 4, &matcher, &err) == 0) {
        walk(matcher, data + bytes - rest, rest < 256 ? rest : 256);
    }
    flo_matcher_close(matcher);
    return 0;
}
