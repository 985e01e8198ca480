/* REST: answers that wait until their commit is durable. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/outgoing.h"

#define TYPE "application/json"

static void on_closed(void *user)
{
    struct flo_rest_held *held = user;

    held->request = NULL;
}

static bool hold(struct flo_rest *rest, struct flo_httpd_request *request, int status,
                 const char *body, size_t bytes, uint64_t number)
{
    struct flo_rest_held *held = malloc(sizeof(*held) + bytes + 1);

    if (held == NULL) {
        return false;
    }
    *held = (struct flo_rest_held){
        .request = request, .number = number, .status = status, .bytes = bytes};
    if (bytes > 0) {
        memcpy(held->body, body, bytes);
    }
    flo_httpd_set_user(request, held, on_closed);
    *rest->held.last = held;
    rest->held.last = &held->next;
    return true;
}

/* Answers a call whose change could not be synced to the disk.  The change may
 * still become durable, because nothing was rolled back. */
static void answer_doubt(struct flo_httpd_request *request, const struct flo_err *failed)
{
    struct flo_err err = *failed;

    flo_wrap(&err, err.code, "it is not known whether this was stored");
    flo_err_fix(&err, "look at it, or repeat it with its Idempotency-Key");
    flo_httpd_answer_err(request, &err);
}

void flo_rest_answer(struct flo_rest *rest, struct flo_httpd_request *request, int status,
                     const char *body, size_t bytes)
{
    struct flo_fleet_store *store = rest->controller->store;
    uint64_t number = flo_fleet_committed(store);
    struct flo_err failed = {0};

    if (rest->held.first == NULL && flo_fleet_durable(store, &failed) >= number) {
        flo_httpd_answer(request, status, TYPE, body, bytes);
    } else if (failed.code != 0) {
        answer_doubt(request, &failed);
    } else if (!hold(rest, request, status, body, bytes, number)) {
        flo_fail(&failed, FLO_E_MEMORY, "answer");
        answer_doubt(request, &failed);
    }
}

static struct flo_rest_held *take(struct flo_rest *rest, uint64_t number)
{
    struct flo_rest_held *held = rest->held.first;

    if (held == NULL || held->number > number) {
        return NULL;
    }
    rest->held.first = held->next;
    if (rest->held.first == NULL) {
        rest->held.last = &rest->held.first;
    }
    if (held->request != NULL) {
        flo_httpd_set_user(held->request, NULL, NULL);
    }
    return held;
}

static void on_durable(void *context, uint64_t number, const struct flo_err *failed)
{
    struct flo_rest *rest = context;
    struct flo_rest_held *held;

    while ((held = take(rest, number)) != NULL) {
        if (held->request != NULL) {
            flo_httpd_answer(held->request, held->status, TYPE, held->body, held->bytes);
        }
        free(held);
    }
    while (failed->code != 0 && (held = take(rest, UINT64_MAX)) != NULL) {
        if (held->request != NULL) {
            answer_doubt(held->request, failed);
        }
        free(held);
    }
}

void flo_rest_held_open(struct flo_rest *rest)
{
    rest->held.first = NULL;
    rest->held.last = &rest->held.first;
    flo_outgoing_subscribe(rest->controller,
                           (struct flo_subscriber){.context = rest, .on_durable = on_durable});
}

void flo_rest_held_close(struct flo_rest *rest)
{
    struct flo_rest_held *held;

    flo_outgoing_unsubscribe(rest->controller, rest);
    flo_rest_rate_close(rest);
    while ((held = take(rest, UINT64_MAX)) != NULL) {
        free(held);
    }
}
