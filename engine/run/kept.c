/* Kept: writes the prefix that most requests share to a file that outlives the
 * process.  The prompts of the last requests are remembered.  Among the
 * prefixes that two of them share, the best one saves the most tokens: its
 * length times the requests that begin with it.  If it is clearly better than
 * the file's, it is written when the process is idle, from a session that still
 * holds it.  A new request stops the writing.  So a system message is preferred
 * to one long conversation as soon as other conversations begin.
 *
 * A prefix is public, or belongs to the only client that there was; the file says
 * whose it is. */
#include "engine/run/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/infer.h>

#define TOKENS_MAX 4096u /* most tokens of a prefix that is kept */
#define QUIET_MS 200

struct flo_kept {
    const struct flo_engine *engine;
    int fd;
    uint32_t tokens_max; /* most tokens for which the file has space */
    struct flo_beginning last[FLO_KEPT_REQUESTS], written;
    uint32_t next;      /* in last */
    uint32_t due_index; /* in last */
    uint32_t due;       /* number of tokens chosen to be written; 0: none */
    bool has_news;      /* true: a request has arrived since a prefix was last chosen */
    int32_t tokens[];   /* [FLO_KEPT_REQUESTS + 1][tokens_max] */
};

/* ---- which one (pure) ---- */

static uint32_t common(const struct flo_beginning *a, const struct flo_beginning *b)
{
    uint32_t n = (uint32_t)flo_tokens_common(a->tokens, a->count, b->tokens, b->count);
    return n - n % FLO_PREFIX_TOKENS;
}

/* Returns how many tokens would not have been computed in all remembered
 * requests if the first `count` tokens of `one` had been kept. */
static uint64_t worth(const struct flo_beginning *last, size_t n, const struct flo_beginning *one,
                      uint32_t count)
{
    uint64_t users = 0;
    for (size_t i = 0; i < n; i++) {
        users += (last[i].client == one->client || one->client == FLO_KEPT_PUBLIC ||
                  count <= one->n_public) &&
                 common(&last[i], one) >= count;
    }
    return users * count;
}

static uint32_t public_of(const struct flo_beginning *a, const struct flo_beginning *b)
{
    uint32_t n = a->n_public < b->n_public ? a->n_public : b->n_public;
    return n - n % FLO_PREFIX_TOKENS;
}

uint32_t flo_kept_choose(const struct flo_beginning *last, size_t n,
                         const struct flo_beginning *written, uint32_t *index)
{
    uint64_t best = 0;
    uint32_t count = 0;
    bool has_others = false;
    for (size_t i = 1; i < n; i++) {
        has_others |= last[i].count > 0 && last[i].client != last[0].client;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            uint32_t shared = common(&last[i], &last[j]);
            if (has_others) {
                /* a prompt of one client must not show in another one's
                 * timings, so only public tokens are kept */
                shared = flo_smaller(shared, public_of(&last[i], &last[j]));
            }
            uint64_t value = worth(last, n, &last[i], shared);
            if (value > best) {
                best = value;
                count = shared;
                *index = (uint32_t)i;
            }
        }
    }
    /* The best prefix is clearly better if it saves 1.5 times the tokens. */
    return 2 * best > 3 * worth(last, n, written, written->count) ? count : 0;
}

/* ---- the file ---- */

/* Returns the most tokens of a prefix that fits into a file of `bytes`. */
static uint32_t tokens_fitting(const struct flo_engine *engine, uint64_t bytes)
{
    uint32_t context = flo_engine_info(engine)->context;
    uint32_t most = context < TOKENS_MAX ? context : TOKENS_MAX;
    while (most > 0 && flo_prefix_bytes(engine, most) > bytes) {
        most = (most - 1) / FLO_PREFIX_TOKENS * FLO_PREFIX_TOKENS;
    }
    return flo_prefix_bytes(engine, most) == 0 ? 0 : most;
}

static struct flo_kept *make(const struct flo_engine *engine, int fd)
{
    struct stat st;
    uint32_t most = 0;
    struct flo_kept *kept = NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        most = tokens_fitting(engine, (uint64_t)st.st_size);
    }
    if (most > 0) {
        kept = calloc(1, sizeof(*kept) + (FLO_KEPT_REQUESTS + 1) * (size_t)most * sizeof(int32_t));
    }
    if (kept != NULL) {
        kept->engine = engine;
        kept->fd = fd;
        kept->tokens_max = most;
        for (uint32_t i = 0; i < FLO_KEPT_REQUESTS; i++) {
            kept->last[i].tokens = kept->tokens + (size_t)i * most;
        }
        kept->written.tokens = kept->tokens + (size_t)FLO_KEPT_REQUESTS * most;
    }
    return kept;
}

struct flo_kept *flo_kept_open(const struct flo_engine *engine, int fd, struct flo_session *session)
{
    bool may_keep = (flo_engine_info(engine)->properties & FLO_COMPUTE_PREFIX) != 0;
    struct flo_kept *kept = may_keep ? make(engine, fd) : NULL;
    if (kept == NULL) {
        close(fd);
        return NULL;
    }
    if (flo_prefix_read(session, fd, &kept->written.client, NULL) == 0) {
        uint32_t count = flo_session_position(session);
        kept->written.count = count < kept->tokens_max ? count : kept->tokens_max;
        memcpy(kept->written.tokens, flo_session_tokens(session),
               kept->written.count * sizeof(int32_t));
    }
    return kept;
}

void flo_kept_close(struct flo_kept *kept)
{
    if (kept != NULL) {
        close(kept->fd);
        free(kept);
    }
}

void flo_kept_note(struct flo_kept *kept, const struct flo_beginning *prompt)
{
    struct flo_beginning *last;
    if (kept == NULL || prompt->count < FLO_PREFIX_TOKENS) {
        return;
    }
    last = &kept->last[kept->next++ % FLO_KEPT_REQUESTS];
    last->client = prompt->client;
    last->n_public = prompt->n_public;
    last->count = flo_smaller(prompt->count, kept->tokens_max);
    memcpy(last->tokens, prompt->tokens, last->count * sizeof(int32_t));
    kept->has_news = true;
}

uint32_t flo_kept_tokens(const struct flo_kept *kept)
{
    return kept == NULL ? 0 : kept->written.count;
}

uint32_t flo_kept_shared(const struct flo_kept *kept, const int32_t *tokens, uint32_t count,
                         uint64_t client)
{
    return kept == NULL || kept->written.client != client
               ? 0
               : (uint32_t)flo_tokens_common(kept->written.tokens, kept->written.count, tokens,
                                             count);
}

int flo_kept_wait_ms(struct flo_kept *kept, uint64_t quiet_ms)
{
    if (kept != NULL && kept->has_news) {
        kept->due =
            flo_kept_choose(kept->last, FLO_KEPT_REQUESTS, &kept->written, &kept->due_index);
        kept->has_news = false;
    }
    if (kept == NULL || kept->due == 0) {
        return -1;
    }
    return quiet_ms < QUIET_MS ? (int)(QUIET_MS - quiet_ms) : 0;
}

bool flo_kept_write(struct flo_kept *kept, const struct flo_session *session, flo_stops_fn *stops,
                    void *context)
{
    const struct flo_beginning *due = &kept->last[kept->due_index];
    if (!flo_session_has_adapter(session, NULL, 0) ||
        flo_session_common(session, due->tokens, kept->due) < kept->due ||
        flo_session_held(session, kept->due) < kept->due) {
        return false;
    }
    uint64_t owner = kept->due <= due->n_public ? FLO_KEPT_PUBLIC : due->client;
    int rv = flo_prefix_write(session, kept->due, owner, kept->fd, stops, context, NULL);
    memcpy(kept->written.tokens, due->tokens, kept->due * sizeof(int32_t));
    kept->written.client = owner;
    kept->written.count = rv == 0 ? kept->due : 0;
    kept->has_news = rv == FLO_E_INFER_CANCELLED; /* try again later */
    kept->due = 0;
    return true;
}

void flo_kept_give_up(struct flo_kept *kept)
{
    kept->due = 0;
}
