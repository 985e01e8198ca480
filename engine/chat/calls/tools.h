/* Tools: reads the tools of a request: their names, and the types of their
 * arguments. */
#ifndef FLOTILLA_ENGINE_CALL_TOOLS_H
#define FLOTILLA_ENGINE_CALL_TOOLS_H

#include <flotilla/engine.h>

#include "base/tree/tree.h"
#include "engine/chat/calls/form.h"

#define FLO_TOOLS_MAX 512u

/* A parsed list of tools in the form of OpenAI's API.  Zero-initialise. */
struct flo_tools {
    struct flo_tree tree;
    char *text; /* owned text that the tree borrows */
    uint32_t count;
    const struct flo_tree_node **functions; /* [count]: {"name", ...} */
    /* Schema of an answer without calls, from an entry {"answer": ...} at the
     * end of the list; NULL: none. */
    const struct flo_tree_node *answer;
};

/* Parses the list.  `room`: how many nodes may be added to the tree later.
 * FLO_E_INFER_PARAM with the place: not a list, a name that is invalid or used
 * twice, parameters that are no object schema; FLO_E_MEMORY. */
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

/* Says whether a value of this schema is a text.  The schema's own type, enum
 * or const decides, or two alternatives of which one is null; references are
 * not followed.  *text is the schema of the text. */
enum flo_argument_kind flo_schema_kind(const struct flo_tree_node *schema,
                                       const struct flo_tree_node **text);

/* A compact copy of what reading an answer needs: the tools' names and the
 * arguments that are not texts.  Zero-initialise. */
struct flo_tool_list {
    uint32_t count;
    struct flo_buf bytes; /* at most FLO_TOOLS_BYTES_MAX */
};

#define FLO_TOOLS_BYTES_MAX (1u << 18)

/* FLO_E_MEMORY. */
FLO_MUST_USE int flo_tool_list_make(struct flo_tool_list *list, const struct flo_tools *tools,
                                    struct flo_err *err);
void flo_tool_list_deinit(struct flo_tool_list *list);
/* Returns the tool's index, or UINT32_MAX. */
uint32_t flo_tool_list_find(const struct flo_tool_list *list, const char *name, size_t bytes);
/* Does a tool's name begin with these bytes? */
bool flo_tool_list_begins(const struct flo_tool_list *list, const char *name, size_t bytes);
/* Returns the kind of the argument with this key.  A key that the schema does
 * not have is a text. */
enum flo_argument_kind flo_tool_list_kind(const struct flo_tool_list *list, uint32_t i,
                                          const char *key, size_t bytes);

#endif
