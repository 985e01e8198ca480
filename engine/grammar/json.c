/* JSON to a tree; see json.h. */
#include "engine/grammar/json.h"

#include <stdlib.h>
#include <string.h>

#include "engine/token/unicode.h"

struct reader {
    struct flo_tree *tree;
    const char *at, *end;
};

struct flo_tree_node *flo_tree_new(struct flo_tree *tree,
                                   enum flo_tree_kind kind)
{
    struct flo_tree_node *node;

    if (tree->count == FLO_TREE_NODES_MAX) {
        return NULL;
    }
    node = &tree->nodes[tree->count++];
    *node = (struct flo_tree_node){.kind = kind, .text = "", .key = ""};
    return node;
}

static void append(struct flo_tree_node *to, struct flo_tree_node *node)
{
    struct flo_tree_node **last = &to->first;

    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = node;
}

bool flo_tree_add(struct flo_tree *tree, struct flo_tree_node *to,
                  const char *key, size_t key_bytes,
                  const struct flo_tree_node *value)
{
    struct flo_tree_node *copy = flo_tree_new(tree, value->kind);

    if (copy == NULL) {
        return false;
    }
    *copy = *value;
    copy->key = key;
    copy->key_bytes = key_bytes;
    copy->next = NULL;
    append(to, copy);
    return true;
}

const struct flo_tree_node *flo_tree_get(const struct flo_tree_node *object,
                                         const char *key, size_t key_bytes)
{
    const struct flo_tree_node *n =
        object != NULL && object->kind == FLO_TREE_OBJECT ? object->first
                                                          : NULL;

    while (n != NULL &&
           (n->key_bytes != key_bytes || memcmp(n->key, key, key_bytes) != 0)) {
        n = n->next;
    }
    return n;
}

bool flo_tree_same(const struct flo_tree_node *a, const struct flo_tree_node *b)
{
    const struct flo_tree_node *x = a->first, *y = b->first;

    if (a->kind != b->kind || a->bytes != b->bytes ||
        memcmp(a->text, b->text, a->bytes) != 0) {
        return false;
    }
    while (x != NULL && y != NULL && x->key_bytes == y->key_bytes &&
           memcmp(x->key, y->key, x->key_bytes) == 0 && flo_tree_same(x, y)) {
        x = x->next;
        y = y->next;
    }
    return x == NULL && y == NULL;
}

/* ---- reading ------------------------------------------------------------- */

static char peek(struct reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) != NULL &&
           *r->at != '\0') {
        r->at++;
    }
    return r->at < r->end ? *r->at : '\0';
}

static bool read_hex4(struct reader *r, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        char c = r->at < r->end ? *r->at : '\0';
        char low = (char)(c | 32);
        bool is_digit = c >= '0' && c <= '9';

        if (!is_digit && (low < 'a' || low > 'f')) {
            return false;
        }
        *out = *out << 4 | (uint32_t)(is_digit ? c - '0' : low - 'a' + 10);
    }
    return true;
}

/* Behind the backslash; one character to `out`. */
static bool read_escape(struct reader *r, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->end ? *r->at++ : '\0';
    const char *hit = c == '\0' ? NULL : strchr(from, c);
    uint32_t code, low;

    if (hit != NULL) {
        *(*out)++ = to[hit - from];
        return true;
    }
    if (c != 'u' || !read_hex4(r, &code) || code == 0) {
        return false;
    }
    if (code >= 0xd800 && code < 0xe000) {
        if (code >= 0xdc00 || r->end - r->at < 2 || r->at[0] != '\\' ||
            r->at[1] != 'u') {
            return false;
        }
        r->at += 2;
        if (!read_hex4(r, &low) || low < 0xdc00 || low >= 0xe000) {
            return false;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    char utf8[4];
    size_t bytes = flo_utf8_put(code, utf8);
    memcpy(*out, utf8, bytes);
    *out += bytes;
    return true;
}

/* At its quote.  The text without escapes is never longer than with them. */
static bool read_string(struct reader *r, const char **text, size_t *bytes)
{
    char *begin = r->tree->texts + r->tree->text_bytes, *out = begin;

    for (r->at++; r->at < r->end && *r->at != '"';) {
        if ((unsigned char)*r->at < 0x20) {
            return false;
        }
        if (*r->at != '\\') {
            *out++ = *r->at++;
            continue;
        }
        r->at++;
        if (!read_escape(r, &out)) {
            return false;
        }
    }
    *text = begin;
    *bytes = (size_t)(out - begin);
    r->tree->text_bytes += *bytes;
    return r->at++ < r->end;
}

/* true, false, null, or a number. */
static bool read_word(struct reader *r, struct flo_tree_node *node)
{
    static const struct {
        const char *text;
        enum flo_tree_kind kind;
    } words[] = {{"true", FLO_TREE_BOOLEAN},
                 {"false", FLO_TREE_BOOLEAN},
                 {"null", FLO_TREE_NULL}};
    const char *begin = r->at;

    while (r->at < r->end && *r->at != '\0' &&
           strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", *r->at) != NULL) {
        r->at++;
    }
    node->text = begin;
    node->bytes = (size_t)(r->at - begin);
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        if (node->bytes == strlen(words[i].text) &&
            memcmp(begin, words[i].text, node->bytes) == 0) {
            node->kind = words[i].kind;
            return true;
        }
    }
    /* -? (0 | [1-9][0-9]*) (.[0-9]+)? ([eE][+-]?[0-9]+)? */
    const char *c = begin, *digits;
    node->kind = FLO_TREE_NUMBER;
    c += c < r->at && *c == '-';
    for (digits = c; c < r->at && *c >= '0' && *c <= '9'; c++) {
    }
    if (c == digits || (*digits == '0' && c > digits + 1)) {
        return false;
    }
    if (c < r->at && *c == '.') {
        for (digits = ++c; c < r->at && *c >= '0' && *c <= '9'; c++) {
        }
        if (c == digits) {
            return false;
        }
    }
    if (c < r->at && (*c | 32) == 'e') {
        c++;
        c += c < r->at && (*c == '+' || *c == '-');
        for (digits = c; c < r->at && *c >= '0' && *c <= '9'; c++) {
        }
        if (c == digits) {
            return false;
        }
    }
    return c == r->at;
}

static struct flo_tree_node *read_value(struct reader *r, int depth);

/* Members or elements, from behind the opening to behind the closing. */
static bool read_children(struct reader *r, struct flo_tree_node *node,
                          int depth)
{
    bool is_object = node->kind == FLO_TREE_OBJECT;
    char closing = is_object ? '}' : ']';
    struct flo_tree_node **last = &node->first;

    r->at++;
    if (peek(r) == closing) {
        r->at++;
        return true;
    }
    for (;;) {
        const char *key = "";
        size_t key_bytes = 0;

        if (is_object) {
            if (peek(r) != '"' || !read_string(r, &key, &key_bytes) ||
                peek(r) != ':') {
                return false;
            }
            r->at++;
        }
        *last = read_value(r, depth + 1);
        if (*last == NULL) {
            return false;
        }
        (*last)->key = key;
        (*last)->key_bytes = key_bytes;
        last = &(*last)->next;
        char c = peek(r);
        r->at += c != '\0';
        if (c != ',') {
            return c == closing;
        }
    }
}

static struct flo_tree_node *read_value(struct reader *r, int depth)
{
    char c = peek(r);
    struct flo_tree_node *node = depth > FLO_TREE_DEPTH_MAX
                                     ? NULL
                                     : flo_tree_new(r->tree, FLO_TREE_NULL);
    bool is_fine;

    if (node == NULL) {
        return NULL;
    }
    if (c == '{' || c == '[') {
        node->kind = c == '{' ? FLO_TREE_OBJECT : FLO_TREE_ARRAY;
        is_fine = read_children(r, node, depth);
    } else if (c == '"') {
        node->kind = FLO_TREE_STRING;
        is_fine = read_string(r, &node->text, &node->bytes);
    } else {
        is_fine = read_word(r, node);
    }
    return is_fine ? node : NULL;
}

int flo_tree_read(struct flo_tree *tree, const char *text, size_t bytes,
                  struct flo_err *err)
{
    struct reader r = {tree, text, text + bytes};
    size_t good = flo_utf8_valid(text, bytes);

    tree->nodes = calloc(FLO_TREE_NODES_MAX, sizeof(*tree->nodes));
    tree->texts = malloc(bytes + 1);
    if (tree->nodes == NULL || tree->texts == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a schema");
    }
    r.at += good == bytes ? 0 : good;
    if (good != bytes || read_value(&r, 0) == NULL || peek(&r) != '\0' ||
        r.at != r.end) {
        return flo_fail(err, FLO_E_INFER_PARAM,
                        "schema: no JSON at byte %zu, or more than %d levels",
                        (size_t)(r.at - text), FLO_TREE_DEPTH_MAX);
    }
    return 0;
}

void flo_tree_deinit(struct flo_tree *tree)
{
    free(tree->nodes);
    free(tree->texts);
    *tree = (struct flo_tree){0};
}

/* ---- writing ------------------------------------------------------------- */

static void print_string(const char *text, size_t bytes, struct flo_buf *out)
{
    flo_buf_text(out, "\"");
    flo_buf_json_text(out, text, bytes);
    flo_buf_text(out, "\"");
}

void flo_tree_print(const struct flo_tree_node *node, struct flo_buf *out)
{
    bool is_object = node->kind == FLO_TREE_OBJECT;

    if (node->kind == FLO_TREE_STRING) {
        print_string(node->text, node->bytes, out);
        return;
    }
    if (!is_object && node->kind != FLO_TREE_ARRAY) {
        flo_buf_add(out, node->text, node->bytes);
        return;
    }
    flo_buf_text(out, is_object ? "{" : "[");
    for (const struct flo_tree_node *n = node->first; n != NULL; n = n->next) {
        flo_buf_text(out, n == node->first ? "" : ", ");
        if (is_object) {
            print_string(n->key, n->key_bytes, out);
            flo_buf_text(out, ": ");
        }
        flo_tree_print(n, out);
    }
    flo_buf_text(out, is_object ? "}" : "]");
}
