/* Store: responses that clients asked to store.
 *
 * They are in memory, and are lost when the process ends.  A response belongs
 * to the party that asked for it.  For all others but the device's owner it does
 * not exist. */
#ifndef FLOTILLA_SERVE_RESPONSES_STORE_H
#define FLOTILLA_SERVE_RESPONSES_STORE_H

#include "agent/serve/front/front.h"

/* Largest number of stored responses: as many as may be running, so that each
 * of those can be continued. */
#define RESPONSES_STORED_MAX 64
/* Largest number of bytes of all stored responses.  A device has little memory
 * for clients that forget to delete.  A context of 32,768 tokens is about 128
 * KiB of text, so this is enough for 64 of them, twice. */
#define RESPONSES_STORED_BYTES_MAX (16u << 20)
/* Largest number of bytes of one stored response: a quarter of all, so that one
 * long conversation cannot displace all others. */
#define RESPONSES_STORED_ONE_BYTES_MAX (4u << 20)

struct responses_stored {
    struct responses_stored *next; /* next stored response, in the order in which they came */
    FLO_OWNED(RESPONSES, uint64_t owner);
    char id[48];
    struct flo_buf object; /* object of the response, as the client got it */
    struct flo_buf items;  /* list of the items that the model got, then those of its answer */
    uint32_t n_input;      /* number of items in the list that the model got */
};

/* Tells whether a response of this size is small enough to be stored. */
bool flo_responses_fits(size_t bytes);
/* Stores a response; `object` and `items` are taken.  If there is no room, the
 * client with the most loses its oldest responses.  If memory is lacking,
 * nothing is stored. */
void flo_responses_keep(struct flo_serve *serve, uint64_t owner, const char *id,
                        struct flo_buf *object, struct flo_buf *items, uint32_t n_input);
/* Tells whether a party sees a response of this owner: its own, and the device's
 * owner all. */
bool flo_responses_may_see(uint64_t asks, uint64_t owner);
/* Finds a response that this party sees.  Returns NULL with
 * FLO_E_REST_NOT_FOUND and one and the same text when it is another client's,
 * was deleted or never existed. */
const struct responses_stored *flo_responses_find(const struct flo_serve *serve, uint64_t asks,
                                                  const char *id, struct flo_err *err);
/* Finds the owner's newest response that contains the item with this id; NULL:
 * none does. */
const struct responses_stored *flo_responses_find_item(const struct flo_serve *serve,
                                                       uint64_t owner, const char *id);
/* Deletes a response.  Returns false when this party sees none with this id. */
bool flo_responses_delete(struct flo_serve *serve, uint64_t asks, const char *id);
void flo_responses_close(struct flo_serve *serve);

#endif
