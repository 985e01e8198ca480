/* Claims by serial number: applies the policy to serials that nobody
 * prepared. */
#include <assert.h>
#include <string.h>

#include <flotilla/proto.h>

#include "server-stub/core/member/serial.h"

static const char *const words[FLO_UNLISTED_COUNT] = {"open", "wait", "refuse"};

const char *flo_unlisted_word(enum flo_unlisted policy)
{
    assert(policy < FLO_UNLISTED_COUNT);
    return words[policy];
}

bool flo_unlisted_parse(const char *word, enum flo_unlisted *out)
{
    assert(word != NULL);
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        if (strcmp(words[i], word) == 0) {
            *out = (enum flo_unlisted)i;
            return true;
        }
    }
    return false;
}

bool flo_serial_normal(const char *text, char out[FLO_NAME_MAX + 1])
{
    size_t count = strlen(text);

    if (count > FLO_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        char c = text[i];
        bool is_big = c >= 'A' && c <= 'Z';
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
        out[i] = is_big ? (char)(c - 'A' + 'a') : is_plain ? c : '-';
    }
    out[count] = '\0';
    return flo_name_is_valid(out);
}

enum flo_serial_verdict flo_serial_decide(const struct flo_serial_facts *facts)
{
    assert(facts->policy < FLO_UNLISTED_COUNT);
    assert(facts->has_serial || !facts->is_prepared);
    if (facts->is_prepared) {
        return facts->is_claimed ? FLO_SERIAL_TAKEN : FLO_SERIAL_PREPARED;
    }
    return facts->policy == FLO_UNLISTED_OPEN                        ? FLO_SERIAL_OPEN
           : facts->policy == FLO_UNLISTED_WAIT && facts->has_serial ? FLO_SERIAL_WAITS
                                                                     : FLO_SERIAL_REFUSED;
}
