/* Configuration: a YAML file read by a table of rows.
 *
 * The table is the one place that knows a key, its type, range, default and
 * meaning; --help and docs/reference/config.md are made from it.  Every error
 * names file, line and key: "agent.yaml:12: unknown key `brokr`", with the
 * nearest key as the fix. */
#ifndef FLOTILLA_HOST_CONFIG_H
#define FLOTILLA_HOST_CONFIG_H

#include "base/host/json.h"

enum flo_config_type {
    FLO_CONFIG_TEXT,
    FLO_CONFIG_BOOL,     /* true or false */
    FLO_CONFIG_U64,      /* a whole number */
    FLO_CONFIG_DURATION, /* "1500ms" "30s" "15m" "6h" "2d"; 0; in ms */
    FLO_CONFIG_SIZE,     /* bytes: 4096, "64KiB" "8MiB" "2GiB" "10MB" */
    FLO_CONFIG_TEXTS,    /* a list of texts */
    FLO_CONFIG_MAP,      /* a map with any keys: the caller reads it */
    FLO_CONFIG_LIST,     /* a list of anything: the caller reads it */
};

/* One key.  min and max (both allowed) are the value of numbers, durations
 * and sizes, the bytes of a text, the elements of lists and maps; both 0: no
 * limit (texts: 4096). */
struct flo_config_row {
    const char *key; /* with dots: "broker.url" */
    enum flo_config_type type;
    double min;
    double max;
    /* The value in place of a missing key, lists with commas; NULL: nothing
     * (text NULL, false, number 0, no elements). */
    const char *standard;
    bool is_required;    /* a missing key is FLO_E_CFG_KEY */
    const char *choices; /* words of a text, with blanks between; NULL: any */
    const char *doc;     /* one sentence */
};

struct flo_config;

/* Read `text` by the table, which must live as long as the result.
 * FLO_E_CFG_PARSE  not YAML, or not the subset of base/host/yaml.h
 * FLO_E_CFG_KEY    unknown or missing key
 * FLO_E_CFG_TYPE   wrong type
 * FLO_E_CFG_RANGE  out of range or none of the choices */
FLO_MUST_USE int flo_config_parse(const char *text, size_t bytes, const char *name,
                                  const struct flo_config_row *rows, size_t count,
                                  struct flo_config **out, struct flo_err *err);
/* The same of a map within a file that was read.  Errors name it: "tokens.shop:
 * unknown key ..." */
FLO_MUST_USE int flo_config_map(const json_t *map, const char *name,
                                const struct flo_config_row *rows, size_t count,
                                struct flo_config **out, struct flo_err *err);
/* The same from a file; also flo_file_read's errors. */
FLO_MUST_USE int flo_config_load(const char *path, const struct flo_config_row *rows, size_t count,
                                 struct flo_config **out, struct flo_err *err);
/* NULL is fine. */
void flo_config_free(struct flo_config *config);
/* flo_config_free(*config) for FLO_CLEANUP. */
void flo_config_cleanup(struct flo_config **config);

/* Values by key; asking for a key that the table does not have, or by the
 * wrong type, is a bug of ours and aborts.  Texts and trees are borrowed
 * until the key is set or the configuration freed. */
const char *flo_config_text(const struct flo_config *config, const char *key);
bool flo_config_bool(const struct flo_config *config, const char *key);
/* Numbers, durations (ms) and sizes (bytes). */
uint64_t flo_config_u64(const struct flo_config *config, const char *key);
/* A list of texts: its length and elements; NULL beyond the end. */
size_t flo_config_texts_count(const struct flo_config *config, const char *key);
const char *flo_config_texts_get(const struct flo_config *config, const char *key, size_t index);
/* Object or array, never NULL (empty when the key is missing). */
const json_t *flo_config_tree(const struct flo_config *config, const char *key);
/* Does the key stand in the file or was it set? */
bool flo_config_is_set(const struct flo_config *config, const char *key);

/* "4096" "64KiB" "8MiB" "2GiB" "1TiB" and the powers of ten "kB" "MB" "GB";
 * false when it is none. */
bool flo_size_parse(const char *text, uint64_t *bytes);

#endif
