/* Rows: finds the row of a table by its text. */
#ifndef FLOTILLA_ROWS_H
#define FLOTILLA_ROWS_H

#include <stddef.h>

/* Returns the first of `count` rows whose text is `text`, or NULL.  The text
 * stands in the row, `offset` bytes behind the row's start. */
void *flo_rows_find(const char *text, const void *rows, size_t count, size_t row_bytes,
                    size_t offset);
/* The same for rows that point to their text; a pointer that is NULL is
 * another text. */
void *flo_rows_find_word(const char *text, const void *rows, size_t count, size_t row_bytes,
                         size_t offset);
/* Both for the rows of an array, by the member that is the text, typed. */
#define FLO_FIND_TEXT(text, rows, count, member)                                                   \
    ((__typeof__(&(rows)[0]))flo_rows_find(text, rows, count, sizeof((rows)[0]),                   \
                                           offsetof(__typeof__((rows)[0]), member)))
#define FLO_FIND_WORD(text, rows, count, member)                                                   \
    ((__typeof__(&(rows)[0]))flo_rows_find_word(text, rows, count, sizeof((rows)[0]),              \
                                                offsetof(__typeof__((rows)[0]), member)))

#endif
