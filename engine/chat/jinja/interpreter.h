/* Memory, syntax tree and values of the Jinja interpreter. */
#ifndef FLOTILLA_ENGINE_JINJA_INTERPRETER_H
#define FLOTILLA_ENGINE_JINJA_INTERPRETER_H

#include <string.h>

#include "engine/chat/jinja/jinja.h"

#define FLO_JINJA_DEPTH_MAX 200u /* most levels of the syntax tree */
#define FLO_JINJA_ARGS_MAX 16u
/* most levels of values inside each other; JSON allows 64 */
#define FLO_JINJA_VALUES_DEEP_MAX 100

/* ---- memory: given back all at once ---- */

struct jinja_pool {
    struct jinja_block *blocks;
    size_t used, bytes_max;
    int rv; /* first error, which then stays: FLO_E_MEMORY or FLO_E_INFER_TOO_LONG */
};

/* Takes zeroed memory from the pool.  Returns NULL if that fails, and in all
 * later calls. */
void *flo_jinja_take(struct jinja_pool *pool, size_t count, size_t bytes);
void flo_jinja_drop(struct jinja_pool *pool);

/* ---- text ---- */

/* A text and its marks.  `marks` tells for each byte whether it came from a
 * message; NULL means that none did. */
struct jinja_text {
    const char *data;
    const uint8_t *marks;
    size_t bytes;
};

static inline struct jinja_text jinja_text_of(const char *text)
{
    return (struct jinja_text){text, NULL, strlen(text)};
}

static inline bool jinja_is(struct jinja_text text, const char *word)
{
    return text.bytes == strlen(word) && memcmp(text.data, word, text.bytes) == 0;
}

/* ---- tokens ---- */

enum jinja_token_kind {
    TOKEN_END,
    TOKEN_DATA,
    TOKEN_PRINT, /* {{ */
    TOKEN_PRINT_END,
    TOKEN_BLOCK, /* {% */
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_NUMBER,
    TOKEN_STRING,
    TOKEN_OPERATOR,
};

struct jinja_token {
    enum jinja_token_kind kind;
    uint32_t line;
    struct jinja_text text; /* source of the token; for a string its text, without escapes */
    int64_t number;
};

/* Splits the source into tokens.  It must have Unix line ends.
 * FLO_E_MODEL_TEMPLATE, FLO_E_MEMORY. */
int flo_jinja_lex(struct jinja_pool *pool, const char *source, size_t bytes,
                  struct jinja_token **tokens, struct flo_err *err);

/* ---- the tree ---- */

enum jinja_op {
    /* statements */
    OP_DATA,      /* text */
    OP_PRINT,     /* a */
    OP_IF,        /* a: condition (NULL: else), b: body, c: the next branch */
    OP_FOR,       /* args: names, a: list, b: body, c: body of else, d: condition */
    OP_SET,       /* a: target, b: value; args: the targets, if there are several */
    OP_SET_BLOCK, /* a: target, b: body */
    /* text: the macro's name, args: its parameters, each an OP_NAME with a
     * default in a, b: body */
    OP_MACRO,
    OP_BREAK,
    OP_CONTINUE,
    OP_GROUP,      /* args */
    OP_GENERATION, /* b body */
    /* expressions */
    OP_TEXT,
    OP_NUMBER,
    OP_TRUE,
    OP_FALSE,
    OP_NONE,
    OP_NAME,
    OP_LIST, /* args: items; with number 1 it is a tuple */
    OP_DICT, /* args: an OP_PAIR for each key a with its value b */
    OP_PAIR,
    OP_ATTRIBUTE, /* a . text */
    OP_ITEM,      /* a [b] */
    OP_SLICE,     /* a [b:c:d] */
    OP_CALL,      /* a (args) */
    OP_KEYWORD,   /* text = a */
    OP_FILTER,    /* a: value, text: name of the filter, args: its arguments */
    OP_TEST,      /* a: value, text: name of the test, args: its arguments */
    OP_AND,
    OP_OR,
    OP_NOT,
    OP_NEGATIVE,
    OP_CHOICE, /* a: condition, b: value if it is true, c: value if not */
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_DIVIDE_DOWN,
    OP_MODULO,
    OP_JOIN,
    OP_EQUAL,
    OP_UNEQUAL,
    OP_LESS,
    OP_AT_MOST,
    OP_MORE,
    OP_AT_LEAST,
    OP_IN,
};

struct jinja_node {
    enum jinja_op op;
    uint32_t line;
    uint32_t depth;
    struct jinja_text text;
    int64_t number;
    struct jinja_node *a, *b, *c, *d;
    struct jinja_node *args; /* first argument, linked to the others by `next` */
    struct jinja_node *next;
};

struct flo_jinja {
    struct jinja_pool pool;
    struct jinja_text source;
    struct jinja_node *body;
};

int flo_jinja_parse(struct jinja_pool *pool, const struct jinja_token *tokens,
                    struct jinja_node **body, struct flo_err *err);

/* ---- values ---- */

enum jinja_kind {
    KIND_UNDEFINED, /* text: name of the variable, for an error message */
    KIND_NONE,
    KIND_BOOL,
    KIND_NUMBER,
    KIND_REAL, /* text: the number as Python prints it */
    KIND_TEXT,
    KIND_LIST,
    KIND_DICT,
    KIND_FUNCTION, /* text: its name */
    KIND_METHOD,   /* text: name of the method, bound: its object */
    KIND_MACRO,
};

struct jinja_value {
    enum jinja_kind kind;
    bool is_true;
    /* the value came from a message or the tools; a text has a mark for each
     * byte as well */
    bool is_said;
    bool is_whole; /* `real` is an integer that is too large for 64 bits */
    union {
        int64_t number;
        double real;
    };
    struct jinja_text text;
    union {
        struct jinja_list *list;
        struct jinja_dict *dict;
        const struct jinja_value *bound;
        const struct jinja_node *macro;
    };
};

enum jinja_list_kind {
    LIST_PLAIN,
    LIST_TUPLE,
    LIST_VIEW,   /* keys, items or a range, which Python does not print as a list */
    LIST_STREAM, /* a generator, which is always true */
};

/* A list of values.  Items never change, so several lists may share them. */
struct jinja_list {
    enum jinja_list_kind kind;
    size_t count, capacity;
    struct jinja_value *items;
};

struct jinja_entry {
    struct jinja_text key;
    struct jinja_value value;
};

struct jinja_dict {
    size_t count, capacity;
    struct jinja_entry *entries;
    bool is_ours;      /* the dict is a namespace or `loop`, which have no methods */
    bool is_namespace; /* the dict is a namespace, whose fields can be set */
};

struct jinja_scope {
    struct jinja_dict names;
    struct jinja_dict loop; /* fields of `loop` in the current iteration */
    struct jinja_scope *parent;
};

enum jinja_flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };

/* The text that was joined last, with spare room behind it.  So a text that
 * grows at its end is not copied each time. */
struct jinja_tail {
    char *data;
    uint8_t *marks;
    size_t used, capacity;
};

/* State of one rendering.  After an error `rv` stays set, and every call
 * returns at once. */
struct jinja_run {
    struct jinja_pool pool;
    struct jinja_tail tail;
    const uint8_t *said;          /* array of marks for bytes that came from the input */
    uint64_t now_ms;              /* time for strftime_now() */
    struct flo_buf *text, *marks; /* buffers for the output, and for its marks */
    struct jinja_scope root;
    struct jinja_scope *spare; /* scopes that can be used again, linked by `parent` */
    enum jinja_flow flow;
    uint64_t steps;
    uint32_t line;
    uint32_t calls; /* number of macro calls inside each other */
    int rv;
    struct flo_err *err;
};

struct jinja_args {
    size_t count, keyword_count;
    struct jinja_value values[FLO_JINJA_ARGS_MAX];
    struct jinja_entry keywords[FLO_JINJA_ARGS_MAX];
};

/* Takes zeroed memory, as flo_jinja_take() does.  If that fails, the run has an
 * error. */
void *flo_jinja_need(struct jinja_run *run, size_t count, size_t bytes);
/* Sets the error of the run, unless it has one.  Returns an undefined value. */
struct jinja_value flo_jinja_fail(struct jinja_run *run, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void flo_jinja_spend(struct jinja_run *run, size_t steps);
/* Charges as many steps as work on this text or list costs. */
void flo_jinja_charge(struct jinja_run *run, const struct jinja_value *value);

struct jinja_value flo_jinja_bool(bool is_true);
struct jinja_value flo_jinja_number(int64_t number);
struct jinja_value flo_jinja_text(struct jinja_text text);
struct jinja_value flo_jinja_list(struct jinja_run *run);

bool flo_jinja_same(struct jinja_text a, struct jinja_text b);
void flo_jinja_append(struct jinja_run *run, struct jinja_list *list, struct jinja_value value);
void flo_jinja_put(struct jinja_run *run, struct jinja_dict *dict, struct jinja_text key,
                   struct jinja_value value);
const struct jinja_value *flo_jinja_find(const struct jinja_dict *dict, struct jinja_text key);

bool flo_jinja_is_true(const struct jinja_value *value);
/* Tells whether the value is a number.  Booleans are numbers, as in Python. */
bool flo_jinja_is_number(const struct jinja_value *value);
/* Compares two numbers.  The result is negative, 0 or positive, as from
 * memcmp(). */
int flo_jinja_order_numbers(const struct jinja_value *a, const struct jinja_value *b);
bool flo_jinja_equal(struct jinja_run *run, const struct jinja_value *a,
                     const struct jinja_value *b);
/* Returns the text of a value, as Python's str() does. */
struct jinja_text flo_jinja_string(struct jinja_run *run, const struct jinja_value *value);
/* Reads a number of JSON that has a fraction, an exponent or very many
 * digits. */
struct jinja_value flo_jinja_real(struct jinja_run *run, const char *text, size_t bytes);
/* Returns the JSON of a value, as the filter `tojson` of transformers writes it
 * (json.dumps()). */
struct jinja_value flo_jinja_json(struct jinja_run *run, const struct jinja_value *value,
                                  const struct jinja_args *args);
/* Sorts keys and keeps the order of equal ones.  Returns the indices of the
 * sorted keys, or NULL after an error.  Unless has_case, ASCII letters are
 * compared without case. */
const size_t *flo_jinja_order(struct jinja_run *run, const struct jinja_value *keys, size_t count,
                              bool has_case, bool is_down);
/* Returns the pairs [key, value] of an object. */
struct jinja_value flo_jinja_pairs(struct jinja_run *run, const struct jinja_value *value);
struct jinja_value flo_jinja_sorted(struct jinja_run *run, const struct jinja_value *value,
                                    const struct jinja_args *args);
struct jinja_value flo_jinja_sorted_pairs(struct jinja_run *run, const struct jinja_value *value,
                                          const struct jinja_args *args);

/* Builds a text from parts, which are joined only at the end.  So the time is
 * linear for any number of parts. */
struct jinja_builder {
    struct jinja_run *run;
    struct flo_buf text, marks;
};
struct jinja_builder flo_jinja_builder(struct jinja_run *run);
void flo_jinja_build(struct jinja_builder *builder, struct jinja_text part);
/* Adds a word that the engine wrote.  It is marked as a message's text if
 * `is_said`, for words that describe values from a message. */
void flo_jinja_build_word(struct jinja_builder *builder, const char *word, bool is_said);
struct jinja_value flo_jinja_built(struct jinja_builder *builder);

/* Returns an argument by its position or name, or NULL if it was not given. */
const struct jinja_value *flo_jinja_argument(const struct jinja_args *args, size_t place,
                                             const char *name);

struct jinja_text flo_jinja_cut(struct jinja_text text, size_t from, size_t to);
struct jinja_text flo_jinja_join(struct jinja_run *run, struct jinja_text a, struct jinja_text b);
/* Returns a slice of a text, counted in code points, or of a list.  `step` is 1
 * or -1.  A bound that is left out is INT64_MIN. */
struct jinja_value flo_jinja_slice(struct jinja_run *run, const struct jinja_value *value,
                                   int64_t from, int64_t to, int64_t step);
int64_t flo_jinja_length(struct jinja_run *run, const struct jinja_value *value);
/* Returns the items over which a loop goes.  For a dict they are its keys. */
struct jinja_list *flo_jinja_items(struct jinja_run *run, const struct jinja_value *value);
bool flo_jinja_contains(struct jinja_run *run, const struct jinja_value *where,
                        const struct jinja_value *what);
/* Evaluate the expressions object.name and object[name]. */
struct jinja_value flo_jinja_attribute(struct jinja_run *run, const struct jinja_value *object,
                                       struct jinja_text name);
struct jinja_value flo_jinja_item(struct jinja_run *run, const struct jinja_value *object,
                                  const struct jinja_value *key);

struct jinja_value flo_jinja_filter(struct jinja_run *run, struct jinja_text name,
                                    const struct jinja_value *value, const struct jinja_args *args);
bool flo_jinja_test(struct jinja_run *run, struct jinja_text name, const struct jinja_value *value,
                    const struct jinja_args *args);
struct jinja_value flo_jinja_method(struct jinja_run *run, struct jinja_text name,
                                    const struct jinja_value *value, const struct jinja_args *args);
struct jinja_value flo_jinja_function(struct jinja_run *run, struct jinja_text name,
                                      const struct jinja_args *args);
bool flo_jinja_is_function(const struct jinja_run *run, struct jinja_text name);

/* Defines the variables that the template can read, such as messages and
 * tools. */
void flo_jinja_begin(struct jinja_run *run, const struct flo_jinja_input *input);

#endif
