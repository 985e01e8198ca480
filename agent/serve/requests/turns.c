/* Turns: chooses the waiting request that is next; see turns.h. */
#include "agent/serve/requests/turns.h"

static bool is_under_way(const struct serve_request *request, const struct serve_engine *engine,
                         enum call_kind kind)
{
    return request->call.engine == engine && request->call.kind == kind;
}

static bool takes_turns(const struct serve_request *request)
{
    return request->kind != REQUEST_TOKENISE && request->kind != REQUEST_DETOKENISE;
}

bool flo_turns_have_place(const struct serve_request *request, const struct serve_engine *engine)
{
    enum call_kind kind = flo_serve_call_kind(&request->params.message);
    uint32_t count = 0;
    for (const struct serve_request *r = request->serve->running; r != NULL; r = r->next) {
        count += takes_turns(r) && is_under_way(r, engine, kind);
    }
    return !takes_turns(request) || count < engine->sessions;
}

static uint32_t under_way(const struct flo_serve *serve, const struct serve_engine *engine,
                          const struct serve_request *of)
{
    enum call_kind kind = flo_serve_call_kind(&of->params.message);
    uint32_t count = 0;
    for (const struct serve_request *r = serve->running; r != NULL; r = r->next) {
        count += r->party.number == of->party.number && is_under_way(r, engine, kind);
    }
    return count;
}

struct serve_request *flo_turns_choose(const struct serve_engine *engine)
{
    const struct flo_serve *serve = engine->serve;
    struct serve_request *best = NULL;
    uint32_t least = UINT32_MAX;
    for (struct serve_request *r = serve->running; r != NULL; r = r->next) {
        uint32_t count = under_way(serve, engine, r);
        if (r->is_waiting && r->place == engine->place && count < least &&
            flo_turns_have_place(r, engine)) {
            best = r;
            least = count;
        }
    }
    return best;
}

/* Returns how many requests of this client wait or run. */
static uint32_t present_of(const struct flo_serve *serve, uint64_t client)
{
    const struct serve_request *lists[] = {serve->held, serve->running};
    uint32_t count = 0;
    for (size_t i = 0; i < FLO_COUNT(lists); i++) {
        for (const struct serve_request *r = lists[i]; r != NULL; r = r->next) {
            count += r->party.number == client;
        }
    }
    return count;
}

struct serve_request *flo_turns_give_up(struct flo_serve *serve,
                                        const struct serve_request *newcomer, uint32_t *most)
{
    struct serve_request *lists[] = {serve->held, serve->running};
    struct serve_request *found = NULL;
    *most = present_of(serve, newcomer->party.number);
    for (size_t i = 0; i < FLO_COUNT(lists); i++) {
        for (struct serve_request *r = lists[i]; r != NULL; r = r->next) {
            uint32_t count = present_of(serve, r->party.number);
            if (r != newcomer && (r->is_held || r->is_waiting) &&
                (count > *most ||
                 (found != NULL && count == *most && r->party.number == found->party.number))) {
                found = r;
                *most = count;
            }
        }
    }
    return found;
}
