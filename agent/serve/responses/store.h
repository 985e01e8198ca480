/* Responses that clients asked to be kept.
 *
 * They stand in memory and end with the process.  A response belongs to the app
 * that asked for it; without an app, to the user of a unix socket or to the
 * address.  To all others it does not exist. */
#ifndef FLOTILLA_SERVE_RESPONSES_STORE_H
#define FLOTILLA_SERVE_RESPONSES_STORE_H

#include "agent/serve/front/front.h"

/* As many as requests that may be under way, so that each of these can be gone
 * on with. */
#define RESPONSES_STORED_MAX 64
/* A device has little memory to spare for clients that forget to delete.  Texts
 * that fill a context of 32,768 tokens are 128 KiB: this is 64 of them, twice.
 */
#define RESPONSES_STORED_BYTES_MAX (16u << 20)
/* A quarter: one long conversation never drives out all others. */
#define RESPONSES_STORED_ONE_BYTES_MAX (4u << 20)

struct responses_stored {
    struct responses_stored *next; /* in the order in which they came */
    uint64_t owner;
    char id[48];
    struct flo_buf object; /* as the client got it */
    struct flo_buf items;  /* a list: what the model was told, and its answer */
    uint32_t n_input;      /* the first ones of them */
};

uint64_t flo_responses_owner(int token, uint64_t client);
/* Is there room for one of so many bytes? */
bool flo_responses_fits(size_t bytes);
/* Keep it; object and items are taken, and emptied.  Where there is no room,
 * the client that has most loses its oldest ones.  Without memory nothing is
 * kept.
 */
void flo_responses_keep(struct flo_serve *serve, uint64_t owner, const char *id,
                        struct flo_buf *object, struct flo_buf *items, uint32_t n_input);
/* FLO_E_REST_NOT_FOUND, in the same words whether it is another client's, gone,
 * or never was.  NULL then. */
const struct responses_stored *flo_responses_find(const struct flo_serve *serve, uint64_t owner,
                                                  const char *id, struct flo_err *err);
/* The newest one with the item, whose id is given; NULL: none has it. */
const struct responses_stored *flo_responses_find_item(const struct flo_serve *serve,
                                                       uint64_t owner, const char *id);
/* false: there is none. */
bool flo_responses_delete(struct flo_serve *serve, uint64_t owner, const char *id);
void flo_responses_close(struct flo_serve *serve);

#endif
