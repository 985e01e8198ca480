/* LoRAs: adapter files of `flotilla-agent serve`: the existing files, the
 * loaded ones, and the changes to make. */
#ifndef FLOTILLA_SERVE_LORAS_H
#define FLOTILLA_SERVE_LORAS_H

#include "agent/serve/serve.h"

#include <sys/stat.h>

/* A list of adapters and their open files. */
struct lora_list {
    uint32_t count;
    struct lora_file {
        char name[FLO_NAME_MAX + 1];
        int fd;
        struct stat stat;
        bool is_refused; /* the engine refused the adapter: not tried again */
    } files[FLO_SERVE_ADAPTERS_MAX];
};
void flo_loras_deinit(struct lora_list *list);

/* Where adapters are searched; zero-initialise. */
struct lora_source {
    const char *folder; /* folder whose NAME.gguf files are all used; NULL: none */
    uint32_t count;
    struct {
        char name[FLO_NAME_MAX + 1];
        const char *path;
    } named[FLO_SERVE_ADAPTERS_MAX];
};
/* Adds "NAME=FILE", which must outlive the source.  FLO_E_USAGE. */
FLO_MUST_USE int flo_loras_name(struct lora_source *source, const char *text, struct flo_err *err);
/* Opens all adapter files, the named ones first.  A file may be unreadable,
 * have an invalid name, or be one too many: with `is_strict` that is an error,
 * otherwise the file is logged and left out.  FLO_E_ABSENT, FLO_E_META_NAME,
 * FLO_E_USAGE, FLO_E_IO_OPEN (also for the folder, strict or not); on an error
 * the list is empty. */
FLO_MUST_USE int flo_loras_open(const struct lora_source *source, bool is_strict,
                                struct lora_list *list, struct flo_err *err);

/* Return the next change; NULL: none.  flo_loras_to_drop: the first loaded file
 * that is not wanted any more.  The other function: the first wanted file that
 * is not loaded, or has changed. */
const struct lora_file *flo_loras_to_drop(const struct lora_list *loaded,
                                          const struct lora_list *wanted);
struct lora_file *flo_loras_to_load(const struct lora_list *loaded, struct lora_list *wanted);
/* Records a loaded adapter; takes ownership of its descriptor. */
void flo_loras_put(struct lora_list *loaded, struct lora_file *file);
void flo_loras_remove(struct lora_list *loaded, const char *name);
struct lora_file *flo_loras_find(struct lora_list *list, const char *name);

#endif
