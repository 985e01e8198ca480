/* Choices: starts and ends choices, which are several answers to one body, for
 * the router.
 *
 * The router gets only some choices of a body at a time; the others follow. */
#include "agent/serve/requests/choices.h"

/* Largest number of choices of one body that run at once, so that a long list
 * leaves room for other requests. */
#define AT_ONCE_MAX 8

void flo_choices_add(struct serve_request *asker)
{
    asker->next = asker->serve->asking;
    asker->serve->asking = asker;
}

static bool has_room(const struct flo_serve *serve)
{
    return serve->n_held + serve->n_running < serve->requests_max;
}

struct serve_request *flo_choices_next(struct flo_serve *serve)
{
    for (struct serve_request *r = serve->asking; r != NULL; r = r->next) {
        struct serve_choices *choices = r->choices;
        if (!choices->is_over && choices->begun < choices->count &&
            choices->begun - choices->gone < AT_ONCE_MAX &&
            (choices->begun == 0 || has_room(serve))) {
            return choices->each[choices->begun++].request;
        }
    }
    return NULL;
}

struct serve_request *flo_choices_unwanted(struct flo_serve *serve)
{
    for (struct serve_request *r = serve->asking; r != NULL; r = r->next) {
        const struct serve_choices *choices = r->choices;
        for (uint32_t i = 0; choices->is_over && i < choices->begun; i++) {
            if (choices->each[i].request != NULL) {
                return choices->each[i].request;
            }
        }
    }
    return NULL;
}

static bool has_ended(const struct serve_choices *choices)
{
    return choices->gone == choices->begun &&
           (choices->is_over || choices->begun == choices->count);
}

void flo_choices_free(struct flo_serve *serve, bool is_all)
{
    struct serve_request **at = &serve->asking;

    while (*at != NULL) {
        struct serve_request *asker = *at;
        if (is_all || has_ended(asker->choices)) {
            *at = asker->next;
            flo_request_free(asker);
        } else {
            at = &asker->next;
        }
    }
}
