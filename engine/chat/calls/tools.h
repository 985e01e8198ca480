/* Tools: the tools of a request, with their names and the types of their
 * arguments. */
#ifndef FLOTILLA_ENGINE_CALL_TOOLS_H
#define FLOTILLA_ENGINE_CALL_TOOLS_H

#include <flotilla/engine.h>

#include "base/tree/tree.h"
#include "engine/chat/calls/form.h"

#define FLO_TOOLS_MAX 512u

/* List of tools as in OpenAI's API, parsed.  Zero-initialise. */
struct flo_tools {
    struct flo_tree tree;
    char *text; /* JSON text into which the nodes of `tree` point; freed with the struct */
    uint32_t count;
    const struct flo_tree_node **functions; /* [count]: {"name", ...} */
    /* Schema that an answer without calls must match, from an entry {"answer":
     * ...} at the end of the list.  NULL: none. */
    const struct flo_tree_node *answer;
};

/* Parses a list of tools.  `room` nodes may be added to its tree later.
 * FLO_E_INFER_PARAM names the position: it is no list, a name is invalid or
 * used twice, or parameters are no schema of an object.  FLO_E_MEMORY. */
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

/* Tells whether a value of this schema is a text.  The schema's own type, enum
 * or const decides, or two alternatives of which one is null.  References are
 * not followed.  *text is the schema of the text. */
enum flo_argument_kind flo_schema_kind(const struct flo_tree_node *schema,
                                       const struct flo_tree_node **text);

/* Short list of tools, for reading an answer.  It has the tools' names, and the
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
/* Returns the index of the tool with this name, or UINT32_MAX. */
uint32_t flo_tool_list_find(const struct flo_tool_list *list, const char *name, size_t bytes);
/* Tells whether the name of a tool begins with these bytes. */
bool flo_tool_list_begins(const struct flo_tool_list *list, const char *name, size_t bytes);
/* Returns the kind of a tool's argument with this key.  A key that the tool's
 * schema does not have is a text. */
enum flo_argument_kind flo_tool_list_kind(const struct flo_tool_list *list, uint32_t i,
                                          const char *key, size_t bytes);

#endif
