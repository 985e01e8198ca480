/* REST: the last use of each token.  A request costs no write for this: the
 * times are in memory, and are written once a minute. */
#include <string.h>

#include "server-stub/rest/rest.h"

#define WRITE_MS 60000

static struct flo_rest_use *use_of(struct flo_rest *rest, const char *token_id)
{
    struct flo_rest_use *oldest = &rest->uses[0];

    for (size_t i = 0; i < FLO_REST_USES_MAX; i++) {
        struct flo_rest_use *use = &rest->uses[i];
        if (strcmp(use->token_id, token_id) == 0) {
            return use;
        }
        oldest = use->at_ms < oldest->at_ms ? use : oldest;
    }
    *oldest = (struct flo_rest_use){0};
    snprintf(oldest->token_id, sizeof(oldest->token_id), "%.12s", token_id);
    return oldest;
}

void flo_rest_used(struct flo_rest *rest, const char *token_id)
{
    struct flo_rest_use *use = use_of(rest, token_id);

    use->at_ms = flo_wall_ms();
    use->is_news = true;
}

uint64_t flo_rest_used_at_ms(const struct flo_rest *rest, const char *token_id)
{
    for (size_t i = 0; i < FLO_REST_USES_MAX; i++) {
        if (strcmp(rest->uses[i].token_id, token_id) == 0) {
            return rest->uses[i].at_ms;
        }
    }
    return 0;
}

/* Writes the tokens' last uses to the store.  A failure is ignored, because
 * more important writes will report it. */
void flo_rest_used_write(struct flo_rest *rest, uint64_t now_ms)
{
    struct flo_controller *controller = rest->controller;
    struct flo_err err = {0};
    int rv = 0;

    if (now_ms < rest->uses_write_at_ms) {
        return;
    }
    rest->uses_write_at_ms = now_ms + WRITE_MS;
    if (flo_controller_begin(controller, &err) < 0) {
        return;
    }
    for (size_t i = 0; i < FLO_REST_USES_MAX && rv == 0; i++) {
        struct flo_rest_use *use = &rest->uses[i];
        if (use->is_news) {
            use->is_news = false;
            rv = flo_fleet_token_used(controller->store, use->token_id, use->at_ms, &err);
        }
    }
    if (rv < 0 || flo_controller_commit(controller, &err) < 0) {
        flo_controller_cancel(controller);
        flo_log_err(FLO_LOG_WARN, "rest", &err);
    }
}
