/* Walks: lists whose rows move while somebody pages through them.
 *
 * A page's last row is no place to go on from if its key changes meanwhile: rows
 * that move over it are hidden, or come twice.  So a walk remembers the ids that its
 * pages gave, and each page has the first of the others.  A row that is there
 * throughout comes once, whatever moves.
 *
 * The cursor names the walk and how many ids it had given, so a page may be asked
 * again, and carries the keys of its last row.  A walk that was given up (another
 * controller answers, this one was restarted, WALKS others are newer) goes on after
 * these keys.  Memory: at most FLO_WALKS_IDS ids are kept. */
#ifndef FLOTILLA_SERVER_WALKS_H
#define FLOTILLA_SERVER_WALKS_H

#include "server-stub/rest/rest.h"

#define FLO_WALKS_IDS 500000
/* longest cursor of a walk with FLO_WALK_KEYS keys, and its NUL */
#define FLO_WALK_TEXT 1025
#define FLO_WALK_KEYS 5
/* a longer text is cut to so many bytes: rows with the same beginning come twice
 * then, if the walk was given up */
#define FLO_WALK_KEY 64

struct flo_walk;

/* Reads the parameter `cursor`.  *keys becomes the array of the keys of the last
 * row, which the caller frees; NULL: this is the first page.  *walk: NULL if the
 * walk was given up.  FLO_E_REST_MEANING: no list with `count` keys gave this. */
FLO_MUST_USE int flo_walk_open(struct flo_rest_call *call, size_t count, json_t **keys,
                               struct flo_walk **walk, struct flo_err *err);
/* Tells whether a page of the walk (NULL: no) had this id. */
bool flo_walk_gave(const struct flo_walk *walk, const char *id);
/* Begins a walk.  NULL: no memory, so later pages go by keys. */
struct flo_walk *flo_walk_begin(struct flo_rest *rest);
/* Notes an id that the page has.  The walk may be NULL. */
void flo_walk_give(struct flo_rest *rest, struct flo_walk *walk, const char *id);
/* Returns a text as a key. */
json_t *flo_walk_text(const char *text);
/* Writes the cursor of the next page.  Takes ownership of `keys`: numbers, null and
 * what flo_walk_text() returned.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_walk_cursor(const struct flo_walk *walk, json_t *keys, char out[FLO_WALK_TEXT],
                                 struct flo_err *err);
void flo_walks_close(struct flo_rest *rest);

#endif
