/* Store: responses that clients asked to be stored.
 *
 * They are in memory and are lost when the process ends.  A response belongs to
 * the app that asked for it; without an app, to the user of a unix socket or to
 * the IP address.  For all others it does not exist. */
#ifndef FLOTILLA_SERVE_RESPONSES_STORE_H
#define FLOTILLA_SERVE_RESPONSES_STORE_H

#include "agent/serve/front/front.h"

/* Largest number of stored responses: as many as may be running, so that each
 * of these can be continued. */
#define RESPONSES_STORED_MAX 64
/* Largest sum of their sizes.  A device has little memory for clients that
 * forget to delete.  A context of 32,768 tokens is about 128 KiB of text: this
 * is enough for 64 of them, twice. */
#define RESPONSES_STORED_BYTES_MAX (16u << 20)
/* Largest size of one response: a quarter of the total, so that one long
 * conversation cannot evict all others. */
#define RESPONSES_STORED_ONE_BYTES_MAX (4u << 20)

struct responses_stored {
    struct responses_stored *next; /* next, in order of arrival */
    uint64_t owner;
    char id[48];
    struct flo_buf object; /* object as sent to the client */
    struct flo_buf items;  /* list of the model's input items, and its answer */
    uint32_t n_input;      /* number of input items, which come first */
};

uint64_t flo_responses_owner(int token, uint64_t client);
/* Is a response of this size small enough to be stored? */
bool flo_responses_fits(size_t bytes);
/* Stores a response; object and items are moved in.  If there is no room, the
 * client with the most loses its oldest ones.  Out of memory, nothing is
 * stored. */
void flo_responses_keep(struct flo_serve *serve, uint64_t owner, const char *id,
                        struct flo_buf *object, struct flo_buf *items, uint32_t n_input);
/* Finds a response.  NULL with FLO_E_REST_NOT_FOUND, and the same text, if it
 * is another client's, was removed, or never existed. */
const struct responses_stored *flo_responses_find(const struct flo_serve *serve, uint64_t owner,
                                                  const char *id, struct flo_err *err);
/* Finds the newest response that contains the item with this id; NULL: none. */
const struct responses_stored *flo_responses_find_item(const struct flo_serve *serve,
                                                       uint64_t owner, const char *id);
/* Deletes a response; false: none has this id. */
bool flo_responses_delete(struct flo_serve *serve, uint64_t owner, const char *id);
void flo_responses_close(struct flo_serve *serve);

#endif
