/* Selectors: select devices by a text that a person writes.  Pure.
 *
 *   hw=rpi5 and site in (lyon,nantes) and not lab and last_seen<10m
 *
 *   any    := all { "or" all }
 *   all    := one { ("and" | ",") one }
 *   one    := ("not" | "!") one | "(" any ")" | term
 *   term   := name | name operator value
 *             | name ["not"] "in" "(" value {"," value} ")"
 *
 * Operators are = == != < <= > >=.  A name is a field of fields.def, a label's
 * key, `label.KEY` or `release.MODEL`; a name alone matches devices that have
 * it.  A value with blanks or signs is quoted.  Texts are ordered as people
 * count (flo_natural_compare).
 *
 * A device that lacks a value matches no comparison with it.  Only `!=` and
 * `not in` match it, because they are the opposites of `=` and `in`. */
#ifndef FLOTILLA_SERVER_SELECT_H
#define FLOTILLA_SERVER_SELECT_H

#include <flotilla/base.h>

#define FLO_SELECTOR_TEXT_MAX 1024
#define FLO_SELECTOR_TERMS_MAX 64
#define FLO_SELECTOR_VALUES_MAX 256
#define FLO_SELECTOR_DEPTH_MAX 24

enum flo_select_field {
#define FLO_SELECT_FIELD(name, word, kind, unit, changes, meaning) FLO_SELECT_##name,
#include "server-stub/core/select/fields.def"
    FLO_SELECT_FIELDS,
    FLO_SELECT_LABEL = FLO_SELECT_FIELDS, /* the name is a label's key */
    /* the name is a model; the value is the version of its serving release */
    FLO_SELECT_VERSION
};

/* Value of a field for one device.  Zero (NAN for numbers) means unknown. */
union flo_select_value {
    const char *text;        /* TEXT */
    const char *const *list; /* texts of a field of kind LIST, ended by NULL */
    double number;           /* NUMBER */
    /* AGE: time of the event by the wall clock; 0: it never happened */
    uint64_t at_ms;
    bool flag; /* FLAG */
};
struct flo_select_label {
    const char *key;
    const char *value;
};
struct flo_select_device {
    union flo_select_value values[FLO_SELECT_FIELDS];
    /* labels, ended by one with the key NULL; NULL: no labels */
    const struct flo_select_label *labels;
    const char *zone; /* time zone in the device's profile; NULL: none */
    bool has_reported;
};
/* Returns the value of the device's label; "": it has none. */
const char *flo_select_label_value(const struct flo_select_device *device, const char *key);
/* Returns a checksum of the values that change only when somebody changes them, and of
 * the time zone. */
uint32_t flo_select_steady(const struct flo_select_device *device);
/* Sets all values to unknown. */
void flo_select_device_init(struct flo_select_device *device);

/* Name of a field, a label or a version, in a selector or in a sort order. */
struct flo_select_name {
    uint8_t field;              /* enum flo_select_field */
    char key[FLO_NAME_MAX + 1]; /* key of a label, or model of a version */
};

/* Tells whether the name's values are texts: a label, a text or a list. */
bool flo_select_has_texts(const struct flo_select_name *name);
/* Returns the i-th text that a device has under that name; NULL after the
 * last. */
const char *flo_select_text_of(const struct flo_select_name *name,
                               const struct flo_select_device *device, size_t i);

struct flo_select_term {
    struct flo_select_name name;
    uint8_t how;          /* enum flo_select_how, tokens.h */
    uint16_t value_first; /* index of the term's first value in `values` and `numbers` */
    uint16_t value_count;
};

/* Parsed selector: plain data, large for a stack frame. */
struct flo_selector {
    char pool[2 * FLO_SELECTOR_TEXT_MAX];     /* pool of the values' texts */
    uint16_t values[FLO_SELECTOR_VALUES_MAX]; /* places in `pool` */
    double numbers[FLO_SELECTOR_VALUES_MAX];  /* values of NUMBER and AGE fields */
    struct flo_select_term terms[FLO_SELECTOR_TERMS_MAX];
    uint8_t code[4 * FLO_SELECTOR_TERMS_MAX]; /* postfix */
    uint16_t code_count;
    uint16_t term_count;
    uint16_t value_count;
    uint16_t pool_bytes;
};

/* Callback: tells whether some device has a label with this key. */
typedef bool (*flo_select_has_label_fn)(void *context, const char *key);
struct flo_select_known {
    flo_select_has_label_fn has_label;
    void *context;
};

/* Parses a selector.  FLO_E_REST_SELECTOR names the column (from 1) and the
 * nearest known word.  Without `known_or_null` any label key is accepted.  *out
 * is written only on success. */
FLO_MUST_USE int flo_selector_parse(const char *text, const struct flo_select_known *known_or_null,
                                    struct flo_selector *out, struct flo_err *err);
bool flo_selector_matches(const struct flo_selector *selector,
                          const struct flo_select_device *device, uint64_t now_ms);
/* Returns the word of the first field whose value changes with time; NULL:
 * there is none. */
const char *flo_selector_moving(const struct flo_selector *selector);
/* Tells whether the selector uses the label of this key. */
bool flo_selector_reads_label(const struct flo_selector *selector, const char *key);
/* Returns the i-th text with which the selector compares this field, or NULL
 * after the last. */
const char *flo_selector_value(const struct flo_selector *selector, enum flo_select_field field,
                               size_t i);

/* Parses one name, for a sort order; fails like flo_selector_parse. */
FLO_MUST_USE int flo_select_name_parse(const char *text, const struct flo_select_known *known,
                                       struct flo_select_name *out, struct flo_err *err);
/* Key of a device in an order by a name.  `text` is borrowed from the device; NULL:
 * the value is a number. */
struct flo_select_key {
    bool is_there;
    const char *text;
    double number;
};
struct flo_select_key flo_select_key_of(const struct flo_select_name *name,
                                        const struct flo_select_device *device);
/* Compares two keys of a name: returns <0, 0 or >0.  A device without a value comes
 * last. */
int flo_select_key_compare(const struct flo_select_name *name, const struct flo_select_key *a,
                           const struct flo_select_key *b);

#endif
