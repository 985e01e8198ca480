/* Tree: parses and writes JSON; see tree.h. */
#include "base/tree/tree.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flo_tree_node *flo_tree_new(struct flo_tree *tree, enum flo_tree_kind kind)
{
    struct flo_tree_node *node = &tree->spare;

    tree->is_full = tree->count == tree->nodes_max;
    if (!tree->is_full) {
        node = &tree->nodes[tree->count++];
    }
    *node = (struct flo_tree_node){.kind = kind, .text = "", .key = ""};
    return node;
}

struct flo_tree_node **flo_tree_add(struct flo_tree *tree, struct flo_tree_node **last,
                                    const struct flo_tree_node *value)
{
    struct flo_tree_node *copy = flo_tree_new(tree, value->kind);

    if (tree->is_full) {
        return last;
    }
    *copy = *value;
    copy->next = NULL;
    *last = copy;
    return &copy->next;
}

size_t flo_tree_count(const struct flo_tree_node *node)
{
    size_t count = 0;

    for (const struct flo_tree_node *n = flo_tree_first(node); n != NULL; n = n->next) {
        count++;
    }
    return count;
}

const struct flo_tree_node *flo_tree_member(const struct flo_tree_node *object, const char *key)
{
    const struct flo_tree_node *node = flo_tree_first(object);
    while (node != NULL && (node->key == NULL || strcmp(node->key, key) != 0)) {
        node = node->next;
    }
    return node;
}

bool flo_tree_is(const struct flo_tree_node *node, const char *text)
{
    return node != NULL && node->kind == FLO_TREE_STRING && node->bytes == strlen(text) &&
           memcmp(node->text, text, node->bytes) == 0;
}

bool flo_tree_whole(const struct flo_tree_node *node, int64_t least, int64_t most, int64_t *out)
{
    int64_t value = 0;

    if (node == NULL || node->kind != FLO_TREE_NUMBER) {
        return false;
    }
    bool is_negative = node->bytes > 0 && node->text[0] == '-';
    size_t i = is_negative;
    if (node->bytes - i > 16) {
        return false;
    }
    for (; i < node->bytes && node->text[i] >= '0' && node->text[i] <= '9'; i++) {
        value = 10 * value + (node->text[i] - '0');
    }
    if (node->bytes - i >= 2 && node->text[i] == '.') { /* a fraction of zeros is
                                                         * allowed: 5.0 is 5 */
        for (i++; i < node->bytes && node->text[i] == '0'; i++) {
        }
    }
    *out = is_negative ? -value : value;
    return i == node->bytes && *out >= least && *out <= most;
}

bool flo_tree_number(const struct flo_tree_node *node, double *out)
{
    char text[64];
    char *end;

    if (node == NULL || node->kind != FLO_TREE_NUMBER || node->bytes >= sizeof(text)) {
        return false;
    }
    memcpy(text, node->text, node->bytes);
    text[node->bytes] = '\0';
    *out = strtod(text, &end);
    return *end == '\0';
}

/* ---- reading ---- */

/* State of the parser, which checks a text or makes a tree. */
struct reader {
    const char *begin, *at, *end;
    char *text; /* the same bytes as `begin`, but writable; NULL: the text is only checked */
    /* tree to make; a check gets a tree that is full from the start, so that it
     * stores nothing */
    struct flo_tree *tree;
    uint32_t count; /* values read so far */
    /* the last string is ODD; some string is ODD, which means that no C string
     * can hold it */
    bool is_odd, has_odd;
};

static char peek(struct reader *r)
{
    while (r->at < r->end && memchr(" \t\r\n", *r->at, 4) != NULL) {
        r->at++;
    }
    return r->at < r->end ? *r->at : '\0';
}

static bool take(struct reader *r, char wanted)
{
    bool is_there = r->at < r->end && *r->at == wanted;

    r->at += is_there;
    return is_there;
}

bool flo_hex_read(const char **at, const char *end, int digits, uint32_t *out)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    const char *hit;

    *out = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        hit = *at < end ? memchr(hex, **at, sizeof(hex) - 1) : NULL;
        if (hit == NULL) {
            return false;
        }
        *out = *out << 4 | (uint32_t)(hit - hex - (hit - hex > 15 ? 6 : 0));
    }
    return true;
}

/* Reads an escape after its backslash.  Sets *bytes to 0 for one that no C
 * string can hold. */
static bool read_escape(struct reader *r, char out[4], size_t *bytes)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->end ? *r->at++ : '\0';
    const char *hit = c == '\0' ? NULL : strchr(from, c);
    uint32_t code, low;

    if (hit != NULL) {
        *out = to[hit - from];
        return true;
    }
    if (c != 'u' || !flo_hex_read(&r->at, r->end, 4, &code)) {
        return false;
    }
    if (code >= 0xd800 && code < 0xdc00 && r->end - r->at >= 2 && r->at[0] == '\\' &&
        r->at[1] == 'u') {
        r->at += 2;
        if (!flo_hex_read(&r->at, r->end, 4, &low)) {
            return false;
        }
        code =
            low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : 0;
    }
    *bytes = code == 0 || (code >= 0xd800 && code < 0xe000) ? 0 : flo_utf8_put(code, out);
    return true;
}

/* Reads a string from its quote on.  The decoded text overwrites the string,
 * because it is never longer. */
static bool read_string(struct reader *r, const char **text, size_t *bytes)
{
    char *first = r->text == NULL ? NULL : r->text + (r->at - r->begin);
    char *out = first;

    r->is_odd = false;
    for (r->at++; r->at < r->end && *r->at != '"';) {
        char some[4] = {*r->at++};
        size_t n = 1;

        if ((unsigned char)some[0] < 0x20 || (some[0] == '\\' && !read_escape(r, some, &n))) {
            return false;
        }
        r->is_odd = r->is_odd || n == 0;
        if (out != NULL) {
            memcpy(out, some, n);
            out += n;
        }
    }
    r->has_odd = r->has_odd || r->is_odd;
    if (out != NULL && !r->is_odd) {
        *out = '\0';
        *text = first;
        *bytes = (size_t)(out - first);
    }
    return take(r, '"');
}

static bool read_digits(struct reader *r)
{
    const char *from = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        r->at++;
    }
    return r->at > from;
}

/* Reads a number: -? (0 | [1-9][0-9]*) (.[0-9]+)? ([eE][+-]?[0-9]+)? */
static bool read_number(struct reader *r)
{
    take(r, '-');
    if ((!take(r, '0') && !read_digits(r)) || (take(r, '.') && !read_digits(r))) {
        return false;
    }
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+')) {
            take(r, '-');
        }
        return read_digits(r);
    }
    return true;
}

/* Reads true, false, null, or a number. */
static bool read_word(struct reader *r, struct flo_tree_node *node)
{
    static const char *const words[] = {"null", "true", "false"};
    size_t left = (size_t)(r->end - r->at);
    bool is_fine = false;

    node->text = r->at;
    for (size_t i = 0; i < FLO_COUNT(words) && !is_fine; i++) {
        size_t bytes = strlen(words[i]);

        is_fine = left >= bytes && memcmp(r->at, words[i], bytes) == 0;
        node->kind = i == 0 ? FLO_TREE_NULL : FLO_TREE_BOOLEAN;
        r->at += is_fine ? bytes : 0;
    }
    if (!is_fine) {
        node->kind = FLO_TREE_NUMBER;
        is_fine = read_number(r);
    }
    node->bytes = (size_t)(r->at - node->text);
    return is_fine;
}

static struct flo_tree_node *read_value(struct reader *r, int depth);

/* Reads members or elements, from after the opening bracket to after the
 * closing one. */
static bool read_children(struct reader *r, struct flo_tree_node *node, bool is_object, int depth)
{
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

        if (is_object && (peek(r) != '"' || !read_string(r, &key, &key_bytes) || peek(r) != ':' ||
                          !take(r, ':'))) {
            return false;
        }
        *last = read_value(r, depth + 1);
        if (*last == NULL) {
            return false;
        }
        (*last)->key = key;
        (*last)->key_bytes = key_bytes;
        last = &(*last)->next;
        char c = peek(r);
        if (c != ',') {
            return take(r, closing);
        }
        r->at++;
    }
}

static struct flo_tree_node *read_value(struct reader *r, int depth)
{
    struct flo_tree_node *node;
    char c = peek(r);
    bool is_fine;

    if (depth == FLO_TREE_DEPTH_MAX || r->count++ == FLO_TREE_NODES_MAX) {
        return NULL;
    }
    node = flo_tree_new(r->tree, FLO_TREE_NULL);
    if (c == '{' || c == '[') {
        node->kind = c == '{' ? FLO_TREE_OBJECT : FLO_TREE_ARRAY;
        is_fine = read_children(r, node, c == '{', depth);
    } else if (c == '"') {
        is_fine = read_string(r, &node->text, &node->bytes);
        node->kind = r->is_odd ? FLO_TREE_ODD : FLO_TREE_STRING;
    } else {
        is_fine = read_word(r, node);
    }
    return is_fine ? node : NULL;
}

/* Checks a text: UTF-8, one value and no text after it. */
static bool look(struct reader *r)
{
    size_t bytes = (size_t)(r->end - r->begin);
    size_t good = flo_utf8_valid(r->begin, bytes);

    if (good < bytes) {
        r->at += good;
        return false;
    }
    return read_value(r, 0) != NULL && peek(r) == '\0' && r->at == r->end;
}

bool flo_json_check(const char *text, size_t bytes)
{
    struct flo_tree none = {0};
    struct reader r = {text, text, text + bytes, .tree = &none};

    return look(&r);
}

int flo_tree_read(struct flo_tree *tree, char *text, size_t bytes, uint32_t values_max,
                  uint32_t room, size_t *bad, struct flo_err *err)
{
    struct flo_tree none = {0};
    struct reader r = {text, text, text + bytes, .tree = &none};

    if (!look(&r)) {
        if (bad != NULL) {
            *bad = (size_t)(r.at - text);
        }
        return flo_fail(err, FLO_E_INFER_PARAM, "no JSON at byte %zu, or more than %d levels",
                        (size_t)(r.at - text), FLO_TREE_DEPTH_MAX);
    }
    if (values_max != 0 && r.count > values_max) {
        return flo_fail(err, FLO_E_INFER_PARAM, "%u values, at most %u", r.count, values_max);
    }
    *tree = (struct flo_tree){.nodes_max = r.count + room, .has_odd = r.has_odd};
    tree->nodes = calloc(tree->nodes_max, sizeof(*tree->nodes));
    if (tree->nodes == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%u values", tree->nodes_max);
    }
    r = (struct reader){text, text, r.end, .text = text, .tree = tree};
    (void)read_value(&r, 0); /* cannot fail, because the check has passed */
    return 0;
}

void flo_tree_deinit(struct flo_tree *tree)
{
    free(tree->nodes);
    *tree = (struct flo_tree){0};
}

/* ---- writing ---- */

static void print_string(const char *text, size_t bytes, struct flo_buf *out)
{
    flo_buf_text(out, "\"");
    flo_buf_json_text(out, text, bytes);
    flo_buf_text(out, "\"");
}

/* Appends a number as written.  A number of 17 digits is shortened to the
 * fewest digits with the same value, because libraries write 0.1 with 17. */
static void print_number(const struct flo_tree_node *node, struct flo_buf *out)
{
    double value = strtod(node->text, NULL);
    bool is_whole = memchr(node->text, '.', node->bytes) == NULL &&
                    memchr(node->text, 'e', node->bytes) == NULL &&
                    memchr(node->text, 'E', node->bytes) == NULL;
    bool is_long = node->bytes > 16 && !is_whole && isfinite(value);
    char text[32] = "";

    for (int digits = 15; is_long && digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        is_long = strtod(text, NULL) != value;
    }
    if (text[0] != '\0' && strlen(text) < node->bytes) {
        flo_buf_text(out, text);
    } else {
        flo_buf_add(out, node->text, node->bytes);
    }
}

void flo_tree_print(const struct flo_tree_node *node, struct flo_buf *out)
{
    bool is_object = node->kind == FLO_TREE_OBJECT;

    if (node->kind == FLO_TREE_STRING) {
        print_string(node->text, node->bytes, out);
        return;
    }
    if (node->kind == FLO_TREE_NUMBER) {
        print_number(node, out);
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
