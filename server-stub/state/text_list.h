/* Text lists: texts that one transaction or one look collects. */
#ifndef FLOTILLA_SERVER_STATE_TEXT_LIST_H
#define FLOTILLA_SERVER_STATE_TEXT_LIST_H

#include <flotilla/base.h>

struct flo_text_list {
    char **items;
    size_t count;
    size_t capacity;
};

/* A copy, unless it is the same as the last one.  Without memory it is left
 * out. */
void flo_text_list_add(struct flo_text_list *list, const char *text);
/* Sort and drop repetitions. */
void flo_text_list_unique(struct flo_text_list *list);
void flo_text_list_clear(struct flo_text_list *list);

#endif
