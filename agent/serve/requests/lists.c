/* Lists: the lists of held and of running requests. */
#include "agent/serve/requests/lists.h"

static void list_add(struct serve_request **list, struct serve_request *request)
{
    while (*list != NULL) {
        /* a new request goes to the end, so the list has the order of
         * arrival */
        list = &(*list)->next;
    }
    request->next = NULL;
    *list = request;
}

static void list_remove(struct serve_request **list, struct serve_request *request)
{
    while (*list != NULL && *list != request) {
        list = &(*list)->next;
    }
    if (*list != NULL) {
        *list = request->next;
    }
}

void flo_lists_leave(struct serve_request *request)
{
    struct flo_serve *serve = request->serve;
    if (request->is_held) {
        list_remove(&serve->held, request);
        serve->n_held--;
        request->place->n_held--;
        request->is_held = false;
    } else {
        list_remove(&serve->running, request);
        serve->n_running--;
    }
}

void flo_lists_run(struct serve_request *request)
{
    list_add(&request->serve->running, request);
    request->serve->n_running++;
}

void flo_lists_hold(struct serve_request *request)
{
    list_add(&request->serve->held, request);
    request->serve->n_held++;
    request->place->n_held++;
    request->is_held = true;
}
