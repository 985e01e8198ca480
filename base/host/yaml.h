/* YAML: strict reading into a JSON tree that remembers its lines.
 *
 * It reads the subset that people write by hand: maps, lists and scalars of the
 * YAML 1.2 core schema (`yes` and `on` are texts).  Refused: anchors, aliases,
 * tags, several documents, duplicate keys, keys that are no scalars. */
#ifndef FLOTILLA_HOST_YAML_H
#define FLOTILLA_HOST_YAML_H

#include "base/host/json.h"

#define FLO_YAML_BYTES_MAX (1 << 20)
#define FLO_YAML_DEPTH_MAX 16
#define FLO_YAML_KEY_BYTES_MAX 256
#define FLO_YAML_NODES_MAX 65536 /* most maps, lists and scalars together */

struct flo_yaml;

/* Parses one document.  Errors begin with `name` (a file's name) and the place:
 * "config.yaml:12:3: ...".  FLO_E_CFG_PARSE, FLO_E_META_TOO_LARGE,
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_yaml_parse(const char *text, size_t bytes, const char *name,
                                struct flo_yaml **out, struct flo_err *err);
/* Reads and parses a file.  Fails as flo_file_read and flo_yaml_parse do. */
FLO_MUST_USE int flo_yaml_load(const char *path, struct flo_yaml **out, struct flo_err *err);
/* NULL is fine. */
void flo_yaml_free(struct flo_yaml *yaml);

/* Returns the tree (null for an empty document), which is valid as long as
 * `yaml`. */
json_t *flo_yaml_root(const struct flo_yaml *yaml);
/* Returns the name that flo_yaml_parse got. */
const char *flo_yaml_name(const struct flo_yaml *yaml);
/* Returns the line, from 1 on, of a path such as "broker.url" or
 * "phases[2].share", or 0 when there is no such path.  Keys that contain . or [
 * are not found. */
unsigned flo_yaml_line(const struct flo_yaml *yaml, const char *path);

/* Appends the tree as YAML that flo_yaml_parse reads back as an equal tree,
 * within its limits.  A failure sets out->failed. */
void flo_yaml_dump(const json_t *json, struct flo_buf *out);

#endif
