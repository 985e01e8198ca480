/* Tools of a request: their names, and which of their arguments are texts. */
#ifndef FLOTILLA_ENGINE_CALL_TOOLS_H
#define FLOTILLA_ENGINE_CALL_TOOLS_H

#include <flotilla/engine.h>

#include "base/tree/tree.h"
#include "engine/chat/calls/form.h"

#define FLO_TOOLS_MAX 512u

/* A list as in OpenAI's API, read.  Zero-initialise. */
struct flo_tools {
    struct flo_tree tree;
    char *text; /* that the tree borrows */
    uint32_t count;
    const struct flo_tree_node **functions; /* [count]: {"name", ...} */
    /* Schema of an answer that is no call: of an entry {"answer": ...} at the
     * list's end; NULL: there is none. */
    const struct flo_tree_node *answer;
};

/* `room`: nodes that may be added to the tree.  FLO_E_INFER_PARAM names the
 * place: no such list, a name that is none or is there twice, parameters that
 * are no object's; FLO_E_MEMORY. */
FLO_MUST_USE int flo_tools_open(struct flo_tools *tools, const char *text, size_t bytes,
                                uint32_t room, struct flo_err *err);
void flo_tools_close(struct flo_tools *tools);

/* Borrowed. */
const struct flo_tree_node *flo_tool_name(const struct flo_tools *tools, uint32_t i);

enum flo_argument_kind {
    FLO_ARGUMENT_TEXT,
    FLO_ARGUMENT_TEXT_OR_NULL,
    FLO_ARGUMENT_OTHER,
};

/* Is each value a text?  Told by the schema's own type, enum or const, or by
 * two alternatives, one of which is null; a reference says nothing here.  *text
 * is the schema of the text. */
enum flo_argument_kind flo_schema_kind(const struct flo_tree_node *schema,
                                       const struct flo_tree_node **text);

/* Facts about them that an answer needs, without the tree: names, and arguments
 * that are no texts.  Zero-initialise. */
struct flo_tool_list {
    uint32_t count;
    struct flo_buf bytes; /* at most FLO_TOOLS_BYTES_MAX */
};

#define FLO_TOOLS_BYTES_MAX (1u << 18)

/* FLO_E_MEMORY. */
FLO_MUST_USE int flo_tool_list_make(struct flo_tool_list *list, const struct flo_tools *tools,
                                    struct flo_err *err);
void flo_tool_list_deinit(struct flo_tool_list *list);
/* The index, or UINT32_MAX. */
uint32_t flo_tool_list_find(const struct flo_tool_list *list, const char *name, size_t bytes);
/* Does a name begin so? */
bool flo_tool_list_begins(const struct flo_tool_list *list, const char *name, size_t bytes);
/* The argument of that key, as far as its schema says.  One that the schema
 * does not know is a text. */
enum flo_argument_kind flo_tool_list_kind(const struct flo_tool_list *list, uint32_t i,
                                          const char *key, size_t bytes);

#endif
