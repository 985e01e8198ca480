/* Party: who asks, as one number that every shared thing uses.
 *
 * api/party.c decides it, once for each request.  The kinds of parties, and what
 * they share, are rows of agent/parties.def. */
#ifndef FLOTILLA_SERVE_PARTY_H
#define FLOTILLA_SERVE_PARTY_H

#include <flotilla/base.h>

struct flo_serve;

enum flo_party_kind {
    FLO_PARTY_NONE,
#define FLO_PARTY(name, number, word, known) FLO_PARTY_##name = (number),
#include "agent/parties.def"
#undef FLO_PARTY
};
enum flo_shared {
#define FLO_SHARED(name, thing, share, sees) FLO_SHARED_##name,
#include "agent/parties.def"
#undef FLO_SHARED
    FLO_SHARED_COUNT
};

/* Declares a member that says whose a shared thing is.  The thing needs a row of
 * agent/parties.def; tools/rows.py refuses such a member without this macro. */
#define FLO_OWNED(thing, member)                                                                   \
    _Static_assert(FLO_SHARED_##thing < FLO_SHARED_COUNT, "a row of agent/parties.def");           \
    member

struct flo_party {
    uint64_t number; /* the kind in the top byte; equal for all requests of the party */
    /* Whose prefixes of prompts its requests may reuse.  It is the party's
     * number, and for an address the number of its connection. */
    uint64_t prefixes;
    int token; /* index of the app in serve->tokens; -1: no app */
};

/* The bits of a number below its kind. */
#define FLO_PARTY_ID_BITS 56
#define FLO_PARTY_ID_MASK (((uint64_t)1 << FLO_PARTY_ID_BITS) - 1)

/* Makes the number of a party from what it is known by. */
static inline uint64_t flo_party_of(enum flo_party_kind kind, uint64_t id)
{
    return (uint64_t)kind << FLO_PARTY_ID_BITS | (id & FLO_PARTY_ID_MASK);
}
/* As flo_party_of(), from a name. */
uint64_t flo_party_number(enum flo_party_kind kind, const char *name);
/* Returns whether `cached_tokens` are told.  Whoever is known by an address alone
 * may be several. */
static inline bool flo_party_is_told(uint64_t number)
{
    return number >> FLO_PARTY_ID_BITS != FLO_PARTY_ADDRESS;
}
/* Returns the number under which prefixes are kept: the party's, or a random one if
 * nothing is told to it. */
uint64_t flo_party_prefixes(uint64_t number);
/* Returns whether the party is the device's owner: root, or the agent's own
 * user. */
bool flo_party_is_owner(uint64_t number);
/* Writes the name under which the party's files are stored: that of its app, or
 * its kind and number, such as "user:1000".  The owner's is empty. */
void flo_party_name(const struct flo_serve *serve, const struct flo_party *party,
                    char out[FLO_NAME_MAX + 1]);
/* Reads such a name.  Returns false if the app is not configured any more. */
bool flo_party_read(const struct flo_serve *serve, const char *name, struct flo_party *out);

#define FLO_PARTY_LINES_MAX 16
#define FLO_PARTY_LINES_MS 10000
/* Logs an error of a party's request, behind the party's name.  A party gets
 * FLO_PARTY_LINES_MAX lines in FLO_PARTY_LINES_MS, at the time now_ms.  Returns
 * false if the line is left out. */
bool flo_party_log(struct flo_serve *serve, const struct flo_party *party, uint64_t now_ms,
                   enum flo_log_level level, const char *area, const struct flo_err *err);

/* Tells whether a party that has `own` of a thing may take `more`: as much must
 * stay free as it then has.  So each further party finds room. */
bool flo_party_may_take(uint64_t own, uint64_t more, uint64_t used, uint64_t most);

#endif
