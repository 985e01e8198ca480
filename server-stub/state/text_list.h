/* Text lists: lists of strings, which a transaction or a query collects. */
#ifndef FLOTILLA_SERVER_STATE_TEXT_LIST_H
#define FLOTILLA_SERVER_STATE_TEXT_LIST_H

#include <flotilla/base.h>

struct flo_text_list {
    char **items;
    size_t count;
    size_t capacity;
};

/* Appends a copy of the text, unless it equals the last one.  Without memory
 * the text is left out. */
void flo_text_list_add(struct flo_text_list *list, const char *text);
/* Sorts the texts and drops repetitions. */
void flo_text_list_unique(struct flo_text_list *list);
void flo_text_list_clear(struct flo_text_list *list);

#endif
