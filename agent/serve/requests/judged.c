/* Judged: remembers answers, so that nobody judges what it did not get, or judges
 * twice.  Feedback can be a rollout's gate. */
#include "agent/serve/requests/judged.h"

#include <string.h>

#include <flotilla/errors/rest.h>

static void drop(struct flo_serve *serve, uint32_t at)
{
    memmove(&serve->answers[at], &serve->answers[at + 1],
            (--serve->n_answers - at) * sizeof(serve->answers[0]));
}

static uint32_t count_of(const struct flo_serve *serve, uint64_t party)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < serve->n_answers; i++) {
        count += serve->answers[i].party == party;
    }
    return count;
}

/* Returns the oldest answer of the party that has most. */
static uint32_t find_victim(const struct flo_serve *serve)
{
    uint32_t found = 0, most = 0;

    for (uint32_t i = 0; i < serve->n_answers; i++) {
        uint32_t count = count_of(serve, serve->answers[i].party);
        if (count > most) {
            most = count;
            found = i;
        }
    }
    return found;
}

void flo_judged_note(struct serve_request *request)
{
    struct flo_serve *serve = request->serve;

    if (request->kind == REQUEST_EMBED || (request->asker != NULL && request->index > 0)) {
        return;
    }
    if (serve->n_answers == FLO_COUNT(serve->answers)) {
        drop(serve, find_victim(serve));
    }
    struct serve_answer *one = &serve->answers[serve->n_answers++];
    *one = (struct serve_answer){request->party.number, request->release, ""};
    memcpy(one->id, request->id, sizeof(one->id));
}

int flo_judged_take(struct flo_serve *serve, uint64_t party, const struct serve_place *place,
                    const char *id, struct flo_err *err)
{
    for (uint32_t i = serve->n_answers; i-- > 0;) {
        const struct serve_answer *one = &serve->answers[i];
        if (one->party == party && flo_digest_equal(&one->release, &place->route.release) &&
            (id == NULL || strcmp(one->id, id) == 0)) {
            drop(serve, i);
            return 0;
        }
    }
    flo_fail(err, FLO_E_REST_NOT_FOUND, "no answer of %s to this client waits for feedback",
             place->route.model);
    return flo_err_fix(err, "judge each answer once, soon after it came");
}
