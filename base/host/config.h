/* Configuration: a YAML file read by a table of rows.
 *
 * The table alone defines each key's type, range, default and meaning.  --help
 * and docs/reference/config.md are made from it.  Every error names file, line
 * and key: "agent.yaml:12: unknown key `brokr`", with the nearest key as the
 * fix. */
#ifndef FLOTILLA_HOST_CONFIG_H
#define FLOTILLA_HOST_CONFIG_H

#include "base/host/json.h"

enum flo_config_type {
    FLO_CONFIG_TEXT,
    FLO_CONFIG_BOOL,     /* true or false */
    FLO_CONFIG_U64,      /* a whole number, uint64_t */
    FLO_CONFIG_DURATION, /* a duration in ms: "1500ms" "30s" "15m" "6h" "2d" or 0 */
    FLO_CONFIG_SIZE,     /* a size in bytes: 4096, "64KiB" "8MiB" "2GiB" "10MB" */
    FLO_CONFIG_TEXTS,    /* a list of texts */
    FLO_CONFIG_MAP,      /* a map with any keys, which the caller reads */
    FLO_CONFIG_LIST,     /* a list of anything, which the caller reads */
};

/* One key of a configuration.  min and max are inclusive.  They bound the value
 * of numbers, durations and sizes, the bytes of texts, and the element count of
 * lists and maps.  If both are 0, there is no limit (texts: 4096 bytes). */
struct flo_config_row {
    const char *key; /* name of the key, with dots: "broker.url" */
    enum flo_config_type type;
    double min;
    double max;
    /* Default of a missing key, with commas between a list's items.  NULL: the
     * empty value (text NULL, false, number 0, no elements). */
    const char *standard;
    bool is_required;    /* true: a missing key is FLO_E_CFG_KEY */
    const char *choices; /* allowed words of a text, separated by blanks; NULL: any text */
    const char *doc;     /* meaning of the key, in one sentence */
};

struct flo_config;

/* Reads `text` by the table, which must live as long as the result.
 * FLO_E_CFG_PARSE  not YAML, or not the subset of base/host/yaml.h
 * FLO_E_CFG_KEY    unknown or missing key
 * FLO_E_CFG_TYPE   wrong type
 * FLO_E_CFG_RANGE  out of range or none of the choices */
FLO_MUST_USE int flo_config_parse(const char *text, size_t bytes, const char *name,
                                  const struct flo_config_row *rows, size_t count,
                                  struct flo_config **out, struct flo_err *err);
/* Reads a map within a file that was read, as flo_config_parse() reads a text.
 * Errors name the map: "tokens.shop: unknown key ..." */
FLO_MUST_USE int flo_config_map(const json_t *map, const char *name,
                                const struct flo_config_row *rows, size_t count,
                                struct flo_config **out, struct flo_err *err);
/* Reads a file as flo_config_parse() reads a text.  Also fails as
 * flo_file_read() does. */
FLO_MUST_USE int flo_config_load(const char *path, const struct flo_config_row *rows, size_t count,
                                 struct flo_config **out, struct flo_err *err);
/* NULL is fine. */
void flo_config_free(struct flo_config *config);
/* Calls flo_config_free(*config), for FLO_CLEANUP. */
void flo_config_cleanup(struct flo_config **config);

/* Returns a text by its key.  Asking for a key that the table lacks, or by the
 * wrong type, is a bug in the caller and aborts.  Texts and trees are borrowed
 * until the key is set or the configuration is freed. */
const char *flo_config_text(const struct flo_config *config, const char *key);
bool flo_config_bool(const struct flo_config *config, const char *key);
/* Returns a number, a duration in ms, or a size in bytes. */
uint64_t flo_config_u64(const struct flo_config *config, const char *key);
/* Returns the length of a list of texts. */
size_t flo_config_texts_count(const struct flo_config *config, const char *key);
/* Returns an element of a list of texts, or NULL beyond its end. */
const char *flo_config_texts_get(const struct flo_config *config, const char *key, size_t index);
/* Returns an object or array; it is never NULL, but empty when the key is
 * missing. */
const json_t *flo_config_tree(const struct flo_config *config, const char *key);
/* Tells whether the file has the key, or a call has set it. */
bool flo_config_is_set(const struct flo_config *config, const char *key);

/* Parses "4096", "64KiB" "8MiB" "2GiB" "1TiB", and the powers of ten "kB" "MB"
 * "GB".  Returns false when the text is no size. */
bool flo_size_parse(const char *text, uint64_t *bytes);

#endif
