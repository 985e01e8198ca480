/* Shape words: reads the tokens of a shape, one after another (request.h
 * describes the syntax).  Pure. */
#ifndef FLOTILLA_SERVER_REQUEST_SHAPE_H
#define FLOTILLA_SERVER_REQUEST_SHAPE_H

#include <stdbool.h>

/* A part of a shape: the content of one pair of brackets. */
struct flo_shape_span {
    const char *at;
    const char *end;
};

/* One token of a span: its name, its bracket ('\0': none), and the content of
 * the bracket. */
struct flo_shape_word {
    struct flo_shape_span name;
    char bracket;
    bool is_needed;     /* ! */
    bool may_be_absent; /* ? */
    bool may_be_null;   /* ~ */
    struct flo_shape_span inside;
    struct flo_shape_span value; /* after '=' */
    struct flo_shape_span type;  /* text that names the type's row in types.def */
};

bool flo_shape_is(struct flo_shape_span span, const char *text);
/* Gets the next word of `rest`, which then begins after it.  Returns false if
 * there is none. */
bool flo_shape_next(struct flo_shape_span *rest, struct flo_shape_word *out);

#endif
